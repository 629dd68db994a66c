/* The calls about one card: each computes its answer from the script and the time of the call. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "session.h"

#define SECOND INT64_C(1000000000)
#define MEBIBYTE (UINT64_C(1) << 20)
/* NVML samples process utilisation in steps of a sixth of a second to a second. */
#define SAMPLE_PERIOD_US (1000000 / 6)

#define CLOCKS_IDLE 0x1U
#define CLOCKS_SOFTWARE_POWER_CAP 0x4U
#define NVML_ERROR_DEPRECATED 26

static const struct card *card_of(const struct call *call)
{
    return &call->script->cards[call->card];
}

static int64_t value(const struct call *call, enum quantity quantity)
{
    return script_value(call->script, call->card, quantity, call->now);
}

static unsigned mean_power(const struct call *call, int64_t window)
{
    return (unsigned)script_mean(call->script, call->card, POWER, call->now, window);
}

static uint64_t energy(const struct call *call)
{
    return script_energy(call->script, call->card, call->now);
}

/* Microseconds of CLOCK_REALTIME, as NVML stamps its samples. */
static uint64_t wall_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Calls with one number as the answer have one shape: the expression is evaluated only when the
 * script lets the call through. */
#define NUMBER_CALL(name, type, expression)                                                        \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, type *answer)                                    \
    {                                                                                              \
        struct call call;                                                                          \
        if (enter_device(&call, CALL_##name, device, answer != NULL))                              \
            *answer = (type)(expression);                                                          \
        return leave(&call);                                                                       \
    }

#define TEXT_CALL(name, field)                                                                     \
    EXPORT nvmlReturn_t name(nvmlDevice_t device, char *answer, unsigned length)                   \
    {                                                                                              \
        struct call call;                                                                          \
        if (enter_device(&call, CALL_##name, device, answer != NULL))                              \
            answer_text(&call, answer, length, card_of(&call)->field);                             \
        return leave(&call);                                                                       \
    }

/* Identity */

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *answer, unsigned length)
{
    struct call call;
    char name[160];
    if (enter_device(&call, CALL_nvmlDeviceGetName, device, answer != NULL)) {
        const struct card *card = card_of(&call);
        const char *profile = call.instance ? card->mig_profiles[call.instance - 1] : "";
        snprintf(name, sizeof name, call.instance ? "%s MIG %s" : "%s%s", card->name, profile);
        answer_text(&call, answer, length, name);
    }
    return leave(&call);
}

TEXT_CALL(nvmlDeviceGetUUID, uuid)
TEXT_CALL(nvmlDeviceGetSerial, serial)
NUMBER_CALL(nvmlDeviceGetIndex, unsigned, session_index(call.card))
NUMBER_CALL(nvmlDeviceGetMinorNumber, unsigned, card_of(&call)->minor)
NUMBER_CALL(nvmlDeviceGetArchitecture, unsigned, card_of(&call)->architecture)

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci_info *info)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetPciInfo_v3, device, info != NULL)) {
        const struct card *card = card_of(&call);
        memset(info, 0, sizeof *info);
        sscanf(card->bus_id, "%x:%x:%x", &info->domain, &info->bus, &info->device);
        snprintf(info->bus_id, sizeof info->bus_id, "%s", card->bus_id);
        snprintf(info->bus_id_legacy, sizeof info->bus_id_legacy, "%04X:%02X:%02X.0",
                 info->domain & 0xffff, info->bus & 0xff, info->device & 0xff);
        info->device_id = card->pci_device;
    }
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetCudaComputeCapability, device, major && minor)) {
        *major = (int)card_of(&call)->capability_major;
        *minor = (int)card_of(&call)->capability_minor;
    }
    return leave(&call);
}

/* Power and energy */

NUMBER_CALL(nvmlDeviceGetPowerUsage, unsigned, mean_power(&call, card_of(&call)->power_window))
NUMBER_CALL(nvmlDeviceGetEnforcedPowerLimit, unsigned, card_of(&call)->limit)
NUMBER_CALL(nvmlDeviceGetPowerManagementLimit, unsigned, card_of(&call)->limit)
NUMBER_CALL(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, card_of(&call)->limit_default)
NUMBER_CALL(nvmlDeviceGetTotalEnergyConsumption, uint64_t, energy(&call))

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device,
                                                                 unsigned *least, unsigned *most)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetPowerManagementLimitConstraints, device,
                     least && most)) {
        *least = card_of(&call)->limit_min;
        *most = card_of(&call)->limit_max;
    }
    return leave(&call);
}

/* Memory */

/* The scripted figure is version 2's `used`, what nvidia-smi shows: without the reserve. */
static uint64_t used_memory(const struct call *call)
{
    const struct card *card = card_of(call);
    uint64_t used = (uint64_t)value(call, MEMORY);
    uint64_t room = card->memory_total - card->memory_reserved;
    return used < room ? used : room;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct memory_v1 *memory)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetMemoryInfo, device, memory != NULL)) {
        memory->total = card_of(&call)->memory_total;
        memory->used = used_memory(&call) + card_of(&call)->memory_reserved;
        memory->free = memory->total - memory->used;
    }
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct memory_v2 *memory)
{
    struct call call;
    if (!enter_device(&call, CALL_nvmlDeviceGetMemoryInfo_v2, device, memory != NULL))
        return leave(&call);
    if (memory->version != NVML_MEMORY_V2_VERSION) {
        call.code = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        return leave(&call);
    }
    memory->total = card_of(&call)->memory_total;
    memory->reserved = card_of(&call)->memory_reserved;
    memory->used = used_memory(&call);
    memory->free = memory->total - memory->reserved - memory->used;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, struct bar1_memory *memory)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetBAR1MemoryInfo, device, memory != NULL)) {
        memory->total = card_of(&call)->bar1_total;
        memory->used = MEBIBYTE;
        memory->free = memory->total - memory->used;
    }
    return leave(&call);
}

/* Load, clocks, temperature */

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, struct utilization *rates)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetUtilizationRates, device, rates != NULL)) {
        rates->gpu = (unsigned)value(&call, GPU_UTILIZATION);
        rates->memory = (unsigned)value(&call, MEMORY_UTILIZATION);
    }
    return leave(&call);
}

static nvmlReturn_t codec_utilization(enum call_number number, nvmlDevice_t device,
                                      unsigned *percent, unsigned *period)
{
    struct call call;
    if (enter_device(&call, number, device, percent && period)) {
        *percent = 0;
        *period = SAMPLE_PERIOD_US;
    }
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned *percent,
                                                    unsigned *period)
{
    return codec_utilization(CALL_nvmlDeviceGetEncoderUtilization, device, percent, period);
}

EXPORT nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned *percent,
                                                    unsigned *period)
{
    return codec_utilization(CALL_nvmlDeviceGetDecoderUtilization, device, percent, period);
}

static nvmlReturn_t clock_info(enum call_number number, nvmlDevice_t device, int clock, bool idle,
                               unsigned *megahertz)
{
    struct call call;
    bool arguments = megahertz != NULL && clock >= 0 && clock < NVML_CLOCK_COUNT;
    if (enter_device(&call, number, device, arguments)) {
        const struct card *card = card_of(&call);
        if (clock == NVML_CLOCK_MEM)
            *megahertz = card->clock_memory;
        else if (clock == NVML_CLOCK_VIDEO)
            *megahertz = card->clock_video;
        else
            *megahertz =
                idle && value(&call, GPU_UTILIZATION) == 0 ? card->clock_idle : card->clock_max;
    }
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int clock, unsigned *megahertz)
{
    return clock_info(CALL_nvmlDeviceGetClockInfo, device, clock, true, megahertz);
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int clock, unsigned *megahertz)
{
    return clock_info(CALL_nvmlDeviceGetMaxClockInfo, device, clock, false, megahertz);
}

static unsigned clock_reasons(const struct call *call)
{
    unsigned reasons = value(call, GPU_UTILIZATION) == 0 ? CLOCKS_IDLE : 0;
    if (value(call, POWER) >= (int64_t)card_of(call)->limit)
        reasons |= CLOCKS_SOFTWARE_POWER_CAP;
    return reasons;
}

NUMBER_CALL(nvmlDeviceGetCurrentClocksEventReasons, uint64_t, clock_reasons(&call))
NUMBER_CALL(nvmlDeviceGetFanSpeed, unsigned, value(&call, GPU_UTILIZATION) == 0 ? 0 : 30)
NUMBER_CALL(nvmlDeviceGetPerformanceState, unsigned, 0)

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *celsius)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetTemperature, device, celsius && sensor == 0))
        *celsius = (unsigned)value(&call, TEMPERATURE);
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, struct temperature_v1 *reading)
{
    struct call call;
    if (!enter_device(&call, CALL_nvmlDeviceGetTemperatureV, device, reading != NULL))
        return leave(&call);
    if (reading->version != NVML_TEMPERATURE_V1_VERSION)
        call.code = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    else if (reading->sensor != 0)
        call.code = NVML_ERROR_INVALID_ARGUMENT;
    else
        reading->celsius = (int)value(&call, TEMPERATURE);
    return leave(&call);
}

/* Processes */

static bool is_listed(const struct call *call, const struct process *process)
{
    return process->card == call->card && within(process->when, call->now);
}

/* As the real one: too small a buffer, or none, gets the number needed and code 7; a size query
 * of an empty list succeeds. */
static nvmlReturn_t list_processes(enum call_number number, enum process_type type,
                                   nvmlDevice_t device, unsigned *count, struct process_info *list)
{
    struct call call;
    unsigned found = 0, room;
    if (!enter_device(&call, number, device, count != NULL))
        return leave(&call);
    room = list != NULL ? *count : 0;
    for (size_t i = 0; i < call.script->process_count; i++) {
        const struct process *process = &call.script->processes[i];
        if (!is_listed(&call, process) || process->type != type)
            continue;
        if (found < room)
            list[found] = (struct process_info){process->pid, process->memory, NO_INSTANCE_ID,
                                                NO_INSTANCE_ID};
        found++;
    }
    if (found > room)
        call.code = NVML_ERROR_INSUFFICIENT_SIZE;
    *count = found;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                            struct process_info *list)
{
    return list_processes(CALL_nvmlDeviceGetComputeRunningProcesses_v3, PROCESS_COMPUTE, device,
                          count, list);
}

EXPORT nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                             struct process_info *list)
{
    return list_processes(CALL_nvmlDeviceGetGraphicsRunningProcesses_v3, PROCESS_GRAPHICS, device,
                          count, list);
}

EXPORT nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                               struct process_info *list)
{
    return list_processes(CALL_nvmlDeviceGetMPSComputeRunningProcesses_v3, PROCESS_MPS, device,
                          count, list);
}

/* Time stamp of a process's newest sample; 0 when it has none after `last_seen`. */
static uint64_t sample_time(const struct call *call, const struct process *process,
                            uint64_t last_seen)
{
    uint64_t now = wall_clock();
    uint64_t stamp = now - now % SAMPLE_PERIOD_US - (uint64_t)process->sample_age;
    return process->sampled && is_listed(call, process) && stamp > last_seen ? stamp : 0;
}

EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                    struct process_sample *samples, unsigned *count,
                                                    uint64_t last_seen)
{
    struct call call;
    unsigned found = 0, room;
    if (!enter_device(&call, CALL_nvmlDeviceGetProcessUtilization, device, count != NULL))
        return leave(&call);
    room = samples != NULL ? *count : 0;
    for (size_t i = 0; i < call.script->process_count; i++) {
        const struct process *process = &call.script->processes[i];
        uint64_t stamp = sample_time(&call, process, last_seen);
        if (stamp == 0)
            continue;
        if (found < room)
            samples[found] =
                (struct process_sample){process->pid,     stamp,           process->sm,
                                        process->memory_utilization, process->encoder,
                                        process->decoder};
        found++;
    }
    if (found == 0)
        call.code = NVML_ERROR_NOT_FOUND;
    else if (found > room)
        call.code = NVML_ERROR_INSUFFICIENT_SIZE;
    *count = found;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                          struct processes_utilization *answer)
{
    struct call call;
    unsigned found = 0, room;
    if (!enter_device(&call, CALL_nvmlDeviceGetProcessesUtilizationInfo, device, answer != NULL))
        return leave(&call);
    if (answer->version != NVML_PROCESSES_UTILIZATION_V1_VERSION) {
        call.code = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        return leave(&call);
    }
    room = answer->samples != NULL ? answer->count : 0;
    for (size_t i = 0; i < call.script->process_count; i++) {
        const struct process *process = &call.script->processes[i];
        uint64_t stamp = sample_time(&call, process, answer->last_seen);
        if (stamp == 0)
            continue;
        if (found < room)
            answer->samples[found] = (struct process_sample_v1){
                .timestamp = stamp,
                .pid = process->pid,
                .sm = process->sm,
                .memory = process->memory_utilization,
                .encoder = process->encoder,
                .decoder = process->decoder,
            };
        found++;
    }
    if (found == 0)
        call.code = NVML_ERROR_NOT_FOUND;
    else if (found > room)
        call.code = NVML_ERROR_INSUFFICIENT_SIZE;
    answer->count = found;
    return leave(&call);
}

/* Fields */

static void small_field(struct field_value *field, unsigned number)
{
    field->type = VALUE_TYPE_UNSIGNED_INT;
    field->value.small = number;
}

static void large_field(struct field_value *field, uint64_t number)
{
    field->type = VALUE_TYPE_UNSIGNED_LONG_LONG;
    field->value.large = number;
}

static nvmlReturn_t power_field(const struct call *call, struct field_value *field)
{
    const struct card *card = card_of(call);
    if (field->scope != 0) /* 1 module, 2 memory, 3 GPU base: none of the profiles' cards */
        return NVML_ERROR_NOT_SUPPORTED;
    switch (field->field) {
    case FIELD_POWER_AVERAGE:
        small_field(field, mean_power(call, SECOND));
        return NVML_SUCCESS;
    case FIELD_POWER_INSTANT:
        small_field(field, mean_power(call, 0));
        return NVML_SUCCESS;
    case FIELD_POWER_MIN_LIMIT:
        small_field(field, card->limit_min);
        return NVML_SUCCESS;
    case FIELD_POWER_MAX_LIMIT:
        small_field(field, card->limit_max);
        return NVML_SUCCESS;
    case FIELD_POWER_DEFAULT_LIMIT:
        small_field(field, card->limit_default);
        return NVML_SUCCESS;
    default: /* current and requested */
        small_field(field, card->limit);
        return NVML_SUCCESS;
    }
}

static nvmlReturn_t answer_field(const struct call *call, struct field_value *field)
{
    const struct card *card = card_of(call);
    nvmlReturn_t verdict = field_verdict(call, field->field);
    if (verdict != NVML_SUCCESS)
        return verdict;
    if (card->unsupported_field[field->field])
        return NVML_ERROR_NOT_SUPPORTED;
    if ((field->field >= FIELD_POWER_AVERAGE && field->field <= FIELD_POWER_CURRENT_LIMIT) ||
        field->field == FIELD_POWER_REQUESTED_LIMIT)
        return power_field(call, field);
    if (field->field >= FIELD_NVLINK_DATA_TX && field->field <= FIELD_NVLINK_RAW_RX) {
        if (field->scope >= card->links && field->scope != UINT32_MAX)
            return NVML_ERROR_INVALID_ARGUMENT;
        large_field(field, 0);
        return NVML_SUCCESS;
    }
    switch (field->field) {
    case FIELD_MEMORY_TEMPERATURE:
        small_field(field, (unsigned)value(call, TEMPERATURE));
        return NVML_SUCCESS;
    case FIELD_TOTAL_ENERGY:
    case FIELD_ENERGY:
        large_field(field, energy(call));
        return NVML_SUCCESS;
    case FIELD_NVLINK_LINK_COUNT:
        small_field(field, card->links);
        return NVML_SUCCESS;
    default:
        return NVML_ERROR_NOT_SUPPORTED;
    }
}

/* The call succeeds even when every single field fails: each has its own code. */
EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count,
                                             struct field_value *fields)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetFieldValues, device, fields && count > 0))
        for (int i = 0; i < count; i++) {
            fields[i].timestamp = (int64_t)wall_clock();
            fields[i].latency = 0;
            fields[i].value.large = 0;
            fields[i].code = answer_field(&call, &fields[i]);
        }
    return leave(&call);
}

/* What an exporter asks for besides */

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetMigMode, device, current && pending))
        *current = *pending = card_of(&call)->mig;
    return leave(&call);
}

NUMBER_CALL(nvmlDeviceGetMaxMigDeviceCount, unsigned, card_of(&call)->mig ? MAX_MIG_DEVICES : 0)
EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index,
                                                       nvmlDevice_t *instance)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetMigDeviceHandleByIndex, device, instance != NULL)) {
        if (index >= MAX_MIG_DEVICES)
            call.code = NVML_ERROR_INVALID_ARGUMENT;
        else if (!card_of(&call)->mig || card_of(&call)->mig_profiles[index][0] == '\0')
            call.code = NVML_ERROR_NOT_FOUND;
        else
            *instance = instance_handle(&call, index + 1);
    }
    return leave(&call);
}

NUMBER_CALL(nvmlDeviceIsMigDeviceHandle, unsigned, 0)
NUMBER_CALL(nvmlDeviceGetComputeMode, unsigned, 0)
NUMBER_CALL(nvmlDeviceGetPersistenceMode, unsigned, 1)
NUMBER_CALL(nvmlDeviceGetDisplayActive, unsigned, 0)

/* Drivers of the 590 line answer "deprecated" for every card in the captures. */
EXPORT nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, unsigned *mode)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetDisplayMode, device, mode != NULL))
        call.code = NVML_ERROR_DEPRECATED;
    return leave(&call);
}

/* Windows only. */
EXPORT nvmlReturn_t nvmlDeviceGetDriverModel_v2(nvmlDevice_t device, unsigned *current,
                                                unsigned *pending)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetDriverModel_v2, device, current && pending))
        call.code = NVML_ERROR_NOT_SUPPORTED;
    return leave(&call);
}

/* Idle traffic of the H100 capture, in KB/s. The real call takes 20 ms: script its latency. */
EXPORT nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, int direction,
                                                unsigned *rate)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetPcieThroughput, device, rate != NULL))
        *rate = direction == 0 ? 352 : 329;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int kind, int counter,
                                                uint64_t *errors)
{
    struct call call;
    (void)kind;
    (void)counter;
    if (enter_device(&call, CALL_nvmlDeviceGetTotalEccErrors, device, errors != NULL))
        *errors = 0;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, int kind, int counter,
                                                    int location, uint64_t *errors)
{
    struct call call;
    (void)kind;
    (void)counter;
    (void)location;
    if (enter_device(&call, CALL_nvmlDeviceGetMemoryErrorCounter, device, errors != NULL))
        *errors = 0;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *correctable,
                                              unsigned *uncorrectable, unsigned *pending,
                                              unsigned *failed)
{
    struct call call;
    if (enter_device(&call, CALL_nvmlDeviceGetRemappedRows, device,
                     correctable && uncorrectable && pending && failed))
        *correctable = *uncorrectable = *pending = *failed = 0;
    return leave(&call);
}
