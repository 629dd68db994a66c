/* The part of NVML's binary interface that the scripted library answers.
 *
 * Layouts and codes follow the ctypes structures of nvidia-ml-py 13 (pynvml.py), which is the
 * caller these tests have. Only what is used is declared. A wrong size here would write past the
 * caller's buffer without any error, hence the assertions.
 */
#ifndef SCRIPTED_NVML_ABI_H
#define SCRIPTED_NVML_ABI_H

#include <stdint.h>

typedef int nvmlReturn_t;
enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_UNKNOWN = 999,
};

/* Opaque to the caller; here a number and never an address (see encode_handle). */
typedef struct nvmlDevice_st *nvmlDevice_t;

#define NVML_VALUE_NOT_AVAILABLE UINT64_MAX
#define NVML_MEMORY_V2_VERSION 0x02000028U
#define NVML_TEMPERATURE_V1_VERSION 0x0100000CU
#define NVML_PROCESSES_UTILIZATION_V1_VERSION 0x01000018U
#define NO_INSTANCE_ID UINT32_MAX /* a process outside MIG */

enum { NVML_CLOCK_GRAPHICS, NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_CLOCK_VIDEO, NVML_CLOCK_COUNT };
enum { VALUE_TYPE_UNSIGNED_INT = 1, VALUE_TYPE_UNSIGNED_LONG_LONG = 3 };

enum {
    FIELD_MEMORY_TEMPERATURE = 82,
    FIELD_TOTAL_ENERGY = 83,
    FIELD_NVLINK_LINK_COUNT = 91,
    FIELD_NVLINK_DATA_TX = 138,
    FIELD_NVLINK_RAW_RX = 141,
    FIELD_POWER_AVERAGE = 185,
    FIELD_POWER_INSTANT = 186,
    FIELD_POWER_MIN_LIMIT = 187,
    FIELD_POWER_MAX_LIMIT = 188,
    FIELD_POWER_DEFAULT_LIMIT = 189,
    FIELD_POWER_CURRENT_LIMIT = 190,
    FIELD_ENERGY = 191,
    FIELD_POWER_REQUESTED_LIMIT = 192,
    FIELD_LIMIT = 512, /* above every field the scripts may name */
};

struct utilization {
    unsigned gpu, memory; /* percent */
};

struct memory_v1 {
    uint64_t total, free, used; /* bytes */
};

struct memory_v2 {
    unsigned version;
    uint64_t total, reserved, free, used; /* bytes */
};

struct bar1_memory {
    uint64_t total, free, used; /* bytes */
};

struct pci_info {
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

struct process_info {
    unsigned pid;
    uint64_t used_memory; /* bytes */
    unsigned gpu_instance, compute_instance;
};

struct process_sample {
    unsigned pid;
    uint64_t timestamp; /* microseconds of CLOCK_REALTIME */
    unsigned sm, memory, encoder, decoder; /* percent */
};

struct process_sample_v1 {
    uint64_t timestamp;
    unsigned pid, sm, memory, encoder, decoder, jpeg, ofa;
};

struct processes_utilization {
    unsigned version, count;
    uint64_t last_seen;
    struct process_sample_v1 *samples;
};

struct temperature_v1 {
    unsigned version, sensor;
    int celsius;
};

struct field_value {
    uint32_t field, scope;
    int64_t timestamp, latency; /* microseconds */
    unsigned type;
    nvmlReturn_t code;
    union {
        unsigned small;
        uint64_t large;
    } value;
};

_Static_assert(sizeof(struct memory_v2) == 40, "memory v2");
_Static_assert(sizeof(struct pci_info) == 68, "PCI info v3");
_Static_assert(sizeof(struct process_info) == 24, "process info v3");
_Static_assert(sizeof(struct process_sample) == 32, "process utilization sample");
_Static_assert(sizeof(struct process_sample_v1) == 40, "process utilization info");
_Static_assert(sizeof(struct processes_utilization) == 24, "processes utilization info");
_Static_assert(sizeof(struct temperature_v1) == 12, "temperature v1");
_Static_assert(sizeof(struct field_value) == 40, "field value");

#endif
