/* A stand-in for libnvidia-ml.so.1 that does what the file named by GPUFIN_NVML_SCRIPT says.
 *
 * This file keeps the session (initialisation, enumeration, handles), re-reads the script, and
 * applies the script's rules to every call. device_calls.c answers the calls about one card.
 *
 * Locking: one mutex guards all state. It is held while an answer is computed, and never during
 * a scripted delay or hang, so that one hung card does not stop calls on the others. A driver
 * whose own lock hangs is scripted as a hang of every call.
 *
 * A child forked while another thread holds the mutex would inherit it locked for ever; the real
 * library is not fork-safe either.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define POLL_INTERVAL (5 * MILLISECOND) /* of the script file, also while a call hangs */
#define HANDLE_MARK (UINT64_C(0x4e564d4c) << 32)

/* Shared with library.py, which reads it while we run: name, then a number. */
struct counter {
    char name[56];
    uint64_t value;
};
enum { COUNTER_BLOCKED = CALL_COUNT, COUNTER_COUNT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    struct script *script; /* the last one understood */
    bool broken; /* the file there now is not understood */
    bool gone; /* the file disappeared after it had been read */
    int64_t next_look;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} source;

static struct {
    char path[PATH_MAX];
    struct counter *table;
} counters;

static struct {
    int64_t loaded; /* when this process loaded the library */
    bool load_known;
    unsigned references; /* nvmlInit calls without their nvmlShutdown; 0: no session */
    uint32_t generation; /* tells handles of this session from older ones */
    int64_t begun;
    nvmlReturn_t stale; /* a reload was seen: this answer until the next session */
    int order[MAX_CARDS], count; /* enumeration as it was when the session began */
    bool lost[MAX_CARDS]; /* seen lost: stays so until the next session */
} session; /* times: CLOCK_BOOTTIME, so they survive a change of the script's epoch */

/* Time */

static int64_t clock_now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void pause_for(int64_t nanoseconds)
{
    struct timespec left = {nanoseconds / SECOND, nanoseconds % SECOND};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

__attribute__((constructor)) static void remember_load_time(void)
{
    session.loaded = clock_now(CLOCK_BOOTTIME);
}

static int64_t epoch(const struct script *script)
{
    return script->epoch_is_process_start ? session.loaded : script->epoch;
}

/* Counters */

static void map_counters(const char *path)
{
    size_t size = sizeof(struct counter) * COUNTER_COUNT;
    if (strcmp(path, counters.path) == 0)
        return;
    if (counters.table != NULL)
        munmap(counters.table, size);
    counters.table = NULL;
    strcpy(counters.path, path);
    if (path[0] == '\0')
        return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    void *memory = MAP_FAILED;
    if (file >= 0 && ftruncate(file, (off_t)size) == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        fprintf(stderr, "scripted nvml: no counters in %s: %s\n", path, strerror(errno));
    else
        counters.table = memory;
    if (file >= 0)
        close(file);
    for (int i = 0; counters.table != NULL && i < COUNTER_COUNT; i++)
        snprintf(counters.table[i].name, sizeof counters.table[i].name, "%s",
                 i == COUNTER_BLOCKED ? "blocked" : call_names[i]);
}

/* Atomic because other processes may count into the same file. */
static void count(int counter, int64_t change)
{
    if (counters.table != NULL)
        __atomic_fetch_add(&counters.table[counter].value, (uint64_t)change, __ATOMIC_RELAXED);
}

/* The script file */

static char *read_all(int file, size_t size)
{
    char *text = malloc(size + 1);
    size_t length = 0;
    if (text == NULL)
        abort();
    for (ssize_t got; length < size && (got = read(file, text + length, size - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    return text;
}

/* A rule for N calls that is written again under its identity has not got N calls again. */
static void carry_over(const struct script *old, struct script *new)
{
    for (size_t i = 0; i < new->rule_count; i++)
        for (size_t j = 0; old != NULL && j < old->rule_count; j++)
            if (new->rules[i].identity[0] != '\0' &&
                strcmp(new->rules[i].identity, old->rules[j].identity) == 0)
                new->rules[i].left = old->rules[j].left;
}

static void notice_losses(void);

static void load(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0) {
        if (file >= 0)
            close(file);
        source.gone = true;
        return;
    }
    char *text = read_all(file, (size_t)status.st_size);
    close(file);
    source.device = status.st_dev;
    source.inode = status.st_ino;
    source.size = status.st_size;
    source.changed = status.st_mtim;
    source.gone = false;

    struct script *script = script_parse(text);
    free(text);
    source.broken = script == NULL;
    if (script == NULL)
        return;
    notice_losses(); /* what the old script lost stays lost, even if no call was made since */
    carry_over(source.script, script);
    script_free(source.script);
    source.script = script;
    map_counters(script->counters);
    if (!session.load_known && script->fixed_time >= 0)
        session.loaded = epoch(script) + script->fixed_time;
    session.load_known = true;
}

static void look_at_file(int64_t boottime)
{
    struct stat status;
    const char *path = getenv("GPUFIN_NVML_SCRIPT");
    if (boottime < source.next_look || path == NULL)
        return;
    source.next_look = boottime + POLL_INTERVAL;
    if (stat(path, &status) != 0)
        source.gone = true;
    else if (source.script == NULL || source.gone || status.st_dev != source.device ||
             status.st_ino != source.inode || status.st_size != source.size ||
             status.st_mtim.tv_sec != source.changed.tv_sec ||
             status.st_mtim.tv_nsec != source.changed.tv_nsec)
        load(path);
}

/* CLOCK_BOOTTIME, or the instant at which the script has stopped it. */
static int64_t absolute_now(void)
{
    const struct script *script = source.script;
    if (script != NULL && script->fixed_time >= 0)
        return epoch(script) + script->fixed_time;
    return clock_now(CLOCK_BOOTTIME);
}

/* The session */

static nvmlDevice_t encode_handle(int card, unsigned instance)
{
    return (nvmlDevice_t)(uintptr_t)(HANDLE_MARK | (uint64_t)instance << 28 |
                                     (uint64_t)session.generation << 8 | (uint64_t)(card + 1));
}

static unsigned instance_of(const void *handle)
{
    return (unsigned)((uint64_t)(uintptr_t)handle >> 28) & 0xf;
}

nvmlDevice_t instance_handle(const struct call *call, unsigned instance)
{
    return encode_handle(call->card, instance);
}

/* The functions below give a card's number, or a return code as a negative number. */
typedef int resolver(const void *what);

static int resolve_handle(const void *handle)
{
    uint64_t bits = (uint64_t)(uintptr_t)handle;
    int card = (int)(bits & 0xff) - 1;
    /* A handle of an earlier session is refused, so that keeping one shows up in a test. */
    if (card < 0 || card >= MAX_CARDS || 
        bits != (uint64_t)(uintptr_t)encode_handle(card, instance_of(handle)))
        return -NVML_ERROR_INVALID_ARGUMENT;
    return card;
}

static int resolve_index(const void *index)
{
    unsigned place = *(const unsigned *)index;
    return place < (unsigned)session.count ? session.order[place] : -NVML_ERROR_INVALID_ARGUMENT;
}

static int resolve_uuid(const void *uuid)
{
    for (int i = 0; i < session.count; i++)
        if (strcmp(source.script->cards[session.order[i]].uuid, uuid) == 0)
            return session.order[i];
    return -NVML_ERROR_NOT_FOUND;
}

static bool parse_bus_id(const char *text, unsigned parts[4])
{
    return sscanf(text, "%x:%x:%x.%x", &parts[0], &parts[1], &parts[2], &parts[3]) == 4;
}

static int resolve_bus_id(const void *bus_id)
{
    unsigned wanted[4], had[4];
    if (!parse_bus_id(bus_id, wanted))
        return -NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < session.count; i++)
        if (parse_bus_id(source.script->cards[session.order[i]].bus_id, had) &&
            memcmp(wanted, had, sizeof had) == 0)
            return session.order[i];
    return -NVML_ERROR_NOT_FOUND;
}

unsigned session_index(int card)
{
    unsigned index = 0;
    while (index < (unsigned)session.count && session.order[index] != card)
        index++;
    return index;
}

/* A card is lost for the whole session if it was lost at any moment of it. */
static bool is_lost(int card, int64_t now)
{
    const struct script *script = source.script;
    int64_t begun = session.begun - epoch(script);
    if (!script->cards[card].present || script->cards[card].index < 0)
        session.lost[card] = true;
    for (size_t i = 0; i < script->loss_count && !session.lost[card]; i++) {
        const struct lost *lost = &script->losses[i];
        if (lost->card == card && begun < lost->when.until && now >= lost->when.from)
            session.lost[card] = true;
    }
    return session.lost[card];
}

static nvmlReturn_t stale_code(int64_t now)
{
    const struct script *script = source.script;
    int64_t begun = session.begun - epoch(script);
    for (size_t i = 0; i < script->reload_count && session.stale == NVML_SUCCESS; i++)
        if (begun < script->reloads[i].at && script->reloads[i].at <= now)
            session.stale = script->reloads[i].code;
    return session.stale;
}

static void notice_losses(void)
{
    if (source.script == NULL || session.references == 0)
        return;
    int64_t now = absolute_now() - epoch(source.script);
    stale_code(now);
    for (int i = 0; i < session.count; i++)
        is_lost(session.order[i], now);
}

static void begin_session(int64_t absolute)
{
    const struct script *script = source.script;
    session.generation = (session.generation + 1) & 0xfffff;
    session.begun = absolute;
    session.stale = NVML_SUCCESS;
    session.count = 0;
    memset(session.lost, 0, sizeof session.lost);
    for (int card = 0; card < MAX_CARDS; card++)
        if (script->cards[card].present && script->cards[card].index >= 0) {
            session.order[script->cards[card].index] = card;
            session.count++;
        }
}

/* Rules */

/* A rule for every call does not mean single fields: the call that reads them has met it. */
static bool covers(const struct rule *rule, int call)
{
    return rule->call == call || (rule->call == ANY_CALL && call < FIELD_BASE);
}

static struct rule *matching(enum rule_kind kind, int card, int call, int64_t now)
{
    for (size_t i = 0; i < source.script->rule_count; i++) {
        struct rule *rule = &source.script->rules[i];
        if (rule->kind == kind && (rule->card == ANY_CARD || rule->card == card) &&
            covers(rule, call) && within(rule->when, now) && rule->left != 0)
            return rule;
    }
    return NULL;
}

/* The code of a rule that applies, or `otherwise`; uses up one of the rule's calls. */
static nvmlReturn_t ruled(int card, int call, int64_t now, nvmlReturn_t otherwise)
{
    struct rule *rule = matching(RULE_FAIL, card, call, now);
    if (rule == NULL)
        return otherwise;
    if (rule->left > 0)
        rule->left--;
    return rule->code;
}

nvmlReturn_t field_verdict(const struct call *call, unsigned field)
{
    if (field >= FIELD_LIMIT)
        return NVML_ERROR_INVALID_ARGUMENT;
    return ruled(call->card, FIELD_BASE + (int)field, call->now, NVML_SUCCESS);
}

/* Entering and leaving */

static bool needs_session(enum call_number number)
{
    switch (number) {
    case CALL_nvmlInit_v2:
    case CALL_nvmlInitWithFlags:
    case CALL_nvmlSystemGetNVMLVersion:
    case CALL_nvmlSystemGetCudaDriverVersion:
    case CALL_nvmlSystemGetCudaDriverVersion_v2:
        return false;
    default:
        return true;
    }
}

/* Takes the mutex, reads the script if due, and says which card the call is about. */
static int take(struct call *call, resolver *resolve, const void *what)
{
    pthread_mutex_lock(&mutex);
    int64_t boottime = clock_now(CLOCK_BOOTTIME);
    look_at_file(boottime);
    call->script = source.script;
    if (source.script == NULL)
        return ANY_CARD;
    if (source.script->fixed_time >= 0)
        call->now = source.script->fixed_time;
    else
        call->now = boottime - epoch(source.script);
    if (resolve == NULL || session.references == 0)
        return ANY_CARD;
    int card = resolve(what);
    call->card = card >= 0 ? card : ANY_CARD;
    return card;
}

/* Waits out hangs and the delay with the mutex released; returns with it held. */
static int take_after_waiting(struct call *call, resolver *resolve, const void *what)
{
    bool counted = false, blocked = false, delayed = false;
    for (;;) {
        int64_t wait = 0;
        int card = take(call, resolve, what);
        if (!counted)
            count(call->number, 1);
        counted = true;
        if (call->script != NULL && !source.gone) {
            struct rule *rule = matching(RULE_HANG, call->card, call->number, call->now);
            if ((rule != NULL) != blocked)
                count(COUNTER_BLOCKED, rule != NULL ? 1 : -1);
            blocked = rule != NULL;
            if (blocked)
                wait = POLL_INTERVAL;
            else if (!delayed &&
                     (rule = matching(RULE_LATENCY, call->card, call->number, call->now)) != NULL) {
                wait = rule->delay;
                delayed = true;
            }
        } else if (blocked) {
            count(COUNTER_BLOCKED, -1);
            blocked = false;
        }
        if (wait == 0)
            return card;
        pthread_mutex_unlock(&mutex);
        pause_for(wait);
    }
}

static bool enter(struct call *call, enum call_number number, bool arguments, resolver *resolve,
                  const void *what)
{
    *call = (struct call){.number = number, .card = ANY_CARD, .code = -1};
    int card = take_after_waiting(call, resolve, what);

    if (source.broken)
        call->code = NVML_ERROR_UNKNOWN;
    else if (call->script == NULL)
        call->code = NVML_ERROR_DRIVER_NOT_LOADED;
    else if (needs_session(number) && session.references == 0)
        call->code = NVML_ERROR_UNINITIALIZED;
    else if (needs_session(number) && number != CALL_nvmlShutdown &&
             stale_code(call->now) != NVML_SUCCESS)
        call->code = session.stale;
    else if (!arguments)
        call->code = NVML_ERROR_INVALID_ARGUMENT;
    else if (resolve != NULL && card < 0)
        call->code = -card;
    else if (call->card != ANY_CARD && is_lost(call->card, call->now))
        call->code = NVML_ERROR_GPU_IS_LOST;
    else
        call->code = ruled(call->card, number, call->now, -1);

    if (call->code == -1 && call->card != ANY_CARD &&
        call->script->cards[call->card].unsupported[number])
        call->code = NVML_ERROR_NOT_SUPPORTED;
    if (call->code != -1)
        return false; /* also for a rule's code 0: "success" without an answer */
    call->code = NVML_SUCCESS;
    return true;
}

bool enter_system(struct call *call, enum call_number number, bool arguments)
{
    return enter(call, number, arguments, NULL, NULL);
}

bool enter_device(struct call *call, enum call_number number, nvmlDevice_t device, bool arguments)
{
    bool ours = enter(call, number, arguments, resolve_handle, device);
    call->instance = instance_of(device);
    /* Of a MIG device nothing is scripted but its name. */
    if (ours && call->instance != 0 && number != CALL_nvmlDeviceGetName) {
        call->code = NVML_ERROR_NOT_SUPPORTED;
        return false;
    }
    return ours;
}

nvmlReturn_t leave(const struct call *call)
{
    pthread_mutex_unlock(&mutex);
    return call->code;
}

void answer_text(struct call *call, char *into, unsigned size, const char *text)
{
    if (strlen(text) >= size)
        call->code = NVML_ERROR_INSUFFICIENT_SIZE;
    else
        strcpy(into, text);
}

/* Calls on no card */

static nvmlReturn_t initialise(enum call_number number)
{
    struct call call;
    if (!enter_system(&call, number, true))
        return leave(&call);
    int64_t loaded = session.loaded - epoch(call.script);
    for (size_t i = 0; i < call.script->reload_count; i++) {
        const struct reload *reload = &call.script->reloads[i];
        /* This process keeps its old library, and the kernel module is another one now. */
        if (reload->upgraded && loaded < reload->at && reload->at <= call.now)
            call.code = NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    }
    if (call.code == NVML_SUCCESS && session.references++ == 0)
        begin_session(absolute_now());
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlInit_v2(void)
{
    return initialise(CALL_nvmlInit_v2);
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return initialise(CALL_nvmlInitWithFlags);
}

EXPORT nvmlReturn_t nvmlShutdown(void)
{
    struct call call;
    if (enter_system(&call, CALL_nvmlShutdown, true))
        session.references--;
    return leave(&call);
}

/* Neither counted, nor delayed, nor locked: a table look-up in the real library too. */
EXPORT const char *nvmlErrorString(nvmlReturn_t code)
{
    switch (code) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
        return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
        return "Argument version mismatch";
    default:
        return "Unknown Error";
    }
}

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    struct call call;
    if (enter_system(&call, CALL_nvmlSystemGetDriverVersion, version != NULL))
        answer_text(&call, version, length, call.script->driver_version);
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    struct call call;
    if (enter_system(&call, CALL_nvmlSystemGetNVMLVersion, version != NULL))
        answer_text(&call, version, length, call.script->nvml_version);
    return leave(&call);
}

static nvmlReturn_t cuda_version(enum call_number number, int *version)
{
    struct call call;
    if (enter_system(&call, number, version != NULL))
        *version = call.script->cuda_version;
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion, version);
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion_v2, version);
}

/* Cards as they are, while handles are those of the session's beginning. Whether the real library
 * counts so is not known (docs/hardware-checklist.md). */
static unsigned enumerated_now(const struct script *script)
{
    unsigned count = 0;
    for (int card = 0; card < MAX_CARDS; card++)
        count += script->cards[card].present && script->cards[card].index >= 0;
    return count;
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *devices)
{
    struct call call;
    if (enter_system(&call, CALL_nvmlDeviceGetCount_v2, devices != NULL))
        *devices = enumerated_now(call.script);
    return leave(&call);
}

/* Finding a card */

static nvmlReturn_t find(enum call_number number, resolver *resolve, const void *what,
                         nvmlDevice_t *device)
{
    struct call call;
    if (enter(&call, number, what != NULL && device != NULL, what != NULL ? resolve : NULL, what))
        *device = encode_handle(call.card, 0);
    return leave(&call);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    return find(CALL_nvmlDeviceGetHandleByIndex_v2, resolve_index, &index, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return find(CALL_nvmlDeviceGetHandleByUUID, resolve_uuid, uuid, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    return find(CALL_nvmlDeviceGetHandleByPciBusId_v2, resolve_bus_id, bus_id, device);
}
