/* The script: what the driver would say, as a function of time.
 *
 * All times inside a script are nanoseconds since its epoch. Everything that varies with time is
 * computed from the script and the time asked for, never accumulated, so any number of processes
 * that read one script agree with each other and with library.py.
 */
#ifndef SCRIPTED_NVML_SCRIPT_H
#define SCRIPTED_NVML_SCRIPT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define MAX_MIG_DEVICES 7U
#define MAX_CARDS 64 /* cards are numbered 0..63 in a script */
#define FOREVER INT64_MAX
#define ANY_CARD (-1)
#define ANY_CALL (-1)
#define FIELD_BASE 1000 /* call numbers from here on mean field values: FIELD_BASE + field */

/* Every exported symbol that can be scripted and is counted. */
#define FOR_EACH_CALL(X)                                                                           \
    X(nvmlInit_v2) X(nvmlInitWithFlags) X(nvmlShutdown) X(nvmlSystemGetDriverVersion)              \
    X(nvmlSystemGetNVMLVersion) X(nvmlSystemGetCudaDriverVersion)                                  \
    X(nvmlSystemGetCudaDriverVersion_v2) X(nvmlDeviceGetCount_v2)                                  \
    X(nvmlDeviceGetHandleByIndex_v2) X(nvmlDeviceGetHandleByUUID)                                  \
    X(nvmlDeviceGetHandleByPciBusId_v2) X(nvmlDeviceGetName) X(nvmlDeviceGetUUID)                  \
    X(nvmlDeviceGetIndex) X(nvmlDeviceGetMinorNumber) X(nvmlDeviceGetSerial)                       \
    X(nvmlDeviceGetPciInfo_v3) X(nvmlDeviceGetUtilizationRates) X(nvmlDeviceGetMemoryInfo)         \
    X(nvmlDeviceGetMemoryInfo_v2) X(nvmlDeviceGetBAR1MemoryInfo) X(nvmlDeviceGetPowerUsage)        \
    X(nvmlDeviceGetEnforcedPowerLimit) X(nvmlDeviceGetPowerManagementLimit)                        \
    X(nvmlDeviceGetPowerManagementDefaultLimit)                                                    \
    X(nvmlDeviceGetPowerManagementLimitConstraints) X(nvmlDeviceGetTotalEnergyConsumption)         \
    X(nvmlDeviceGetTemperature) X(nvmlDeviceGetTemperatureV)                                       \
    X(nvmlDeviceGetComputeRunningProcesses_v3) X(nvmlDeviceGetGraphicsRunningProcesses_v3)         \
    X(nvmlDeviceGetMPSComputeRunningProcesses_v3) X(nvmlDeviceGetProcessUtilization)               \
    X(nvmlDeviceGetProcessesUtilizationInfo) X(nvmlDeviceGetFieldValues) X(nvmlDeviceGetMigMode)   \
    X(nvmlDeviceGetMaxMigDeviceCount) X(nvmlDeviceGetMigDeviceHandleByIndex)                       \
    X(nvmlDeviceIsMigDeviceHandle)                                                                 \
    X(nvmlDeviceGetEncoderUtilization) X(nvmlDeviceGetDecoderUtilization)                          \
    X(nvmlDeviceGetClockInfo) X(nvmlDeviceGetMaxClockInfo)                                         \
    X(nvmlDeviceGetCurrentClocksEventReasons) X(nvmlDeviceGetFanSpeed)                             \
    X(nvmlDeviceGetPcieThroughput) X(nvmlDeviceGetCudaComputeCapability)                           \
    X(nvmlDeviceGetArchitecture) X(nvmlDeviceGetComputeMode) X(nvmlDeviceGetPersistenceMode)       \
    X(nvmlDeviceGetPerformanceState) X(nvmlDeviceGetTotalEccErrors)                                \
    X(nvmlDeviceGetMemoryErrorCounter) X(nvmlDeviceGetRemappedRows)                                \
    X(nvmlDeviceGetDisplayActive) X(nvmlDeviceGetDisplayMode) X(nvmlDeviceGetDriverModel_v2)

enum call_number {
#define AS_NUMBER(name) CALL_##name,
    FOR_EACH_CALL(AS_NUMBER)
#undef AS_NUMBER
        CALL_COUNT
};
extern const char *const call_names[CALL_COUNT];

enum quantity { POWER, GPU_UTILIZATION, MEMORY_UTILIZATION, MEMORY, TEMPERATURE, QUANTITY_COUNT };

/* Milliwatts times nanoseconds since a month ago do not fit into 64 bits. */
__extension__ typedef __int128 wide;

/* [from, until) */
struct window {
    int64_t from, until;
};

/* From start to the next point's start the value goes in a straight line from value to end. */
struct point {
    int64_t start, value, end;
    wide before; /* integral from 0 to start, value unit times nanosecond */
};

struct timeline {
    struct point *points;
    size_t count;
    int64_t period; /* 0: the last value lasts for ever */
    wide whole; /* integral over one period */
};

enum event_kind { ENERGY_RESET, ENERGY_JUMP, ENERGY_FREEZE, ENERGY_EVENT_COUNT };

struct event {
    int card; /* or ANY_CARD */
    enum event_kind kind;
    struct window when; /* until is used by a freeze only */
    int64_t millijoules; /* of a jump */
    bool catches_up; /* a freeze that shows the missed energy when it ends */
};

struct reload {
    int64_t at;
    nvmlReturn_t code; /* what a session begun before answers */
    bool upgraded; /* a process that loaded the library before cannot initialise again */
};

enum rule_kind { RULE_FAIL, RULE_LATENCY, RULE_HANG };

struct rule {
    enum rule_kind kind;
    int card, call; /* or ANY_CARD, ANY_CALL */
    struct window when;
    nvmlReturn_t code;
    int64_t delay; /* nanoseconds */
    int64_t left; /* calls it still applies to; -1: no limit */
    char identity[24]; /* keeps `left` over a re-read of the script */
};

enum process_type { PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS };

struct process {
    int card;
    enum process_type type;
    unsigned pid;
    uint64_t memory; /* bytes */
    bool sampled; /* has utilisation samples */
    int64_t sample_age; /* microseconds */
    unsigned sm, memory_utilization, encoder, decoder; /* percent */
    struct window when;
};

struct lost {
    int card;
    struct window when;
};

struct card {
    bool present;
    int index; /* place in the enumeration; -1: not enumerated */
    unsigned minor;
    char name[96], uuid[80], serial[30], bus_id[32];
    unsigned pci_device, architecture, capability_major, capability_minor;
    uint64_t memory_total, memory_reserved, bar1_total; /* bytes */
    unsigned limit, limit_default, limit_min, limit_max; /* mW */
    int64_t power_window; /* ns over which the power reading is a mean; 0: instant */
    unsigned clock_idle, clock_max, clock_memory, clock_video; /* MHz */
    unsigned links; /* NVLink */
    bool mig;
    char mig_profiles[MAX_MIG_DEVICES][24]; /* of its instances; empty: no instance in this slot */
    uint64_t energy_base; /* mJ */
    int64_t energy_step; /* ns between updates of the counter; 0: continuous */
    bool unsupported[CALL_COUNT], unsupported_field[FIELD_LIMIT];
    struct timeline timelines[QUANTITY_COUNT];
};

struct script {
    bool epoch_is_process_start;
    int64_t epoch; /* CLOCK_BOOTTIME, ns */
    int64_t fixed_time; /* -1: time passes */
    char driver_version[80], nvml_version[80], counters[PATH_MAX];
    int cuda_version;
    struct card cards[MAX_CARDS];
    struct event *events;
    struct reload *reloads;
    struct rule *rules;
    struct process *processes;
    struct lost *losses;
    size_t event_count, reload_count, rule_count, process_count, loss_count;
};

/* NULL with a message on stderr when the text is not a script. Changes `text`. */
struct script *script_parse(char *text);
void script_free(struct script *script);

bool within(struct window window, int64_t time);
int64_t script_value(const struct script *, int card, enum quantity, int64_t time);
/* Mean over the window that ends at `time`, cut off at the epoch. */
int64_t script_mean(const struct script *, int card, enum quantity, int64_t time, int64_t window);
uint64_t script_energy(const struct script *, int card, int64_t time); /* mJ */

#endif
