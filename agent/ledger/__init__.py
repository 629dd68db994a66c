"""What has accumulated: booked lines, calendar periods, sums since start and the filling of gaps."""
