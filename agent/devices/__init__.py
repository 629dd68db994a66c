"""What the hardware says: one interface (``agent.ports.DeviceSource``), several sources."""
