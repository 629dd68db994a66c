/* Reads the text of a script. The grammar is described in library.py, which writes it.
 *
 * The first mistake makes the whole text invalid: a test whose script is half understood would
 * prove nothing. Unknown words are mistakes too.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define MAX_WORDS 40
#define SECOND INT64_C(1000000000)
#define MILLISECOND INT64_C(1000000)
/* Keeps the square of a sloped segment's length, times its rise, inside 128 bits. */
#define MAX_SLOPE_LENGTH (1000000 * SECOND)
#define MAX_VALUE (INT64_C(1) << 50)

#define AS_NAME(name) #name,
const char *const call_names[CALL_COUNT] = {FOR_EACH_CALL(AS_NAME)};
static const char *const quantity_names[QUANTITY_COUNT] = {"power", "gpu_utilization",
                                                           "memory_utilization", "memory",
                                                           "temperature"};

struct parser {
    struct script *script;
    int line;
    char error[200]; /* empty: no mistake yet */
    const char *directive;
    size_t count;
    char *keys[MAX_WORDS], *values[MAX_WORDS];
    bool used[MAX_WORDS];
};

__attribute__((format(printf, 2, 3))) static void mistake(struct parser *parser, const char *format,
                                                          ...)
{
    va_list arguments;
    if (parser->error[0] != '\0')
        return;
    int length = snprintf(parser->error, sizeof parser->error, "line %d: ", parser->line);
    va_start(arguments, format);
    vsnprintf(parser->error + length, sizeof parser->error - (size_t)length, format, arguments);
    va_end(arguments);
}

/* The words of a line */

static void percent_decode(char *text)
{
    char *out = text;
    for (char *in = text; *in != '\0'; in++) {
        char digits[3] = {0};
        if (in[0] == '%' && in[1] != '\0' && in[2] != '\0') {
            memcpy(digits, in + 1, 2);
            *out++ = (char)strtol(digits, NULL, 16);
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
}

/* False for a blank line or a comment. */
static bool split(struct parser *parser, char *line)
{
    char *rest = NULL;
    parser->directive = strtok_r(line, " \t\r", &rest);
    parser->count = 0;
    if (parser->directive == NULL || parser->directive[0] == '#')
        return false;
    for (char *word; (word = strtok_r(NULL, " \t\r", &rest)) != NULL; parser->count++) {
        char *equals = strchr(word, '=');
        if (equals == NULL || parser->count == MAX_WORDS) {
            mistake(parser, "'%s' is not key=value, or too many words", word);
            return false;
        }
        *equals = '\0';
        percent_decode(equals + 1);
        parser->keys[parser->count] = word;
        parser->values[parser->count] = equals + 1;
        parser->used[parser->count] = false;
    }
    return true;
}

static char *optional(struct parser *parser, const char *key)
{
    for (size_t i = 0; i < parser->count; i++)
        if (strcmp(parser->keys[i], key) == 0) {
            parser->used[i] = true;
            return parser->values[i];
        }
    return NULL;
}

static void all_used(struct parser *parser)
{
    for (size_t i = 0; i < parser->count; i++)
        if (!parser->used[i])
            mistake(parser, "unknown word '%s' in '%s'", parser->keys[i], parser->directive);
}

static int64_t integer(struct parser *parser, const char *key, int64_t otherwise)
{
    const char *text = optional(parser, key);
    char *end;
    if (text == NULL)
        return otherwise;
    errno = 0;
    long long number = strtoll(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0')
        mistake(parser, "%s='%s' is not an integer", key, text);
    return number;
}

static unsigned small(struct parser *parser, const char *key)
{
    int64_t number = integer(parser, key, 0);
    if (number < 0 || number > UINT32_MAX)
        mistake(parser, "%s is out of range", key);
    return (unsigned)number;
}

/* Decimal seconds to nanoseconds, exactly: a binary fraction would not match library.py. */
static int64_t nanoseconds(struct parser *parser, const char *text, char **end)
{
    bool negative = *text == '-';
    const char *cursor = text + negative;
    int64_t time = 0, digit = SECOND;
    if (*cursor < '0' || *cursor > '9')
        mistake(parser, "'%s' is not a time in seconds", text);
    while (*cursor >= '0' && *cursor <= '9' && time < FOREVER / 20)
        time = time * 10 + (*cursor++ - '0');
    if (time > FOREVER / SECOND / 2)
        mistake(parser, "the time '%s' is too large", text);
    else
        time *= SECOND;
    if (*cursor == '.')
        for (cursor++; *cursor >= '0' && *cursor <= '9'; cursor++)
            time += (*cursor - '0') * (digit /= 10);
    *end = (char *)cursor;
    return negative ? -time : time;
}

static int64_t seconds(struct parser *parser, const char *key, int64_t otherwise)
{
    const char *text = optional(parser, key);
    char *end;
    if (text == NULL)
        return otherwise;
    int64_t time = nanoseconds(parser, text, &end);
    if (*end != '\0')
        mistake(parser, "%s='%s' is not a time in seconds", key, text);
    return time;
}

static struct window window(struct parser *parser)
{
    return (struct window){seconds(parser, "from", INT64_MIN), seconds(parser, "until", FOREVER)};
}

static void copy_text(struct parser *parser, const char *key, char *into, size_t size)
{
    const char *text = optional(parser, key);
    if (text == NULL)
        return;
    if (strlen(text) >= size)
        mistake(parser, "%s is too long", key);
    else
        memcpy(into, text, strlen(text) + 1);
}

/* -1 for `*` or no word at all. */
static int card_number(struct parser *parser)
{
    const char *text = optional(parser, "card");
    if (text == NULL || strcmp(text, "*") == 0)
        return ANY_CARD;
    int64_t number = integer(parser, "card", 0);
    if (number < 0 || number >= MAX_CARDS)
        mistake(parser, "card '%s' is not in 0..%d", text, MAX_CARDS - 1);
    return parser->error[0] == '\0' ? (int)number : 0;
}

static int one_card(struct parser *parser)
{
    int number = card_number(parser);
    if (number == ANY_CARD)
        mistake(parser, "'%s' needs a card=NUMBER", parser->directive);
    return number == ANY_CARD ? 0 : number;
}

static int call_number(struct parser *parser, const char *name)
{
    if (name == NULL || strcmp(name, "*") == 0)
        return ANY_CALL;
    for (int call = 0; call < CALL_COUNT; call++)
        if (strcmp(call_names[call], name) == 0)
            return call;
    if (strncmp(name, "field:", 6) == 0) {
        int field = atoi(name + 6);
        if (field > 0 && field < FIELD_LIMIT)
            return FIELD_BASE + field;
    }
    mistake(parser, "the library has no call '%s'", name);
    return ANY_CALL;
}

/* One more zeroed element at the end of a growing array. */
static void *append(void **array, size_t *count, size_t size)
{
    void *larger = realloc(*array, (*count + 1) * size);
    if (larger == NULL)
        abort();
    *array = larger;
    return memset((char *)larger + (*count)++ * size, 0, size);
}
#define APPEND(array, count) append((void **)&(array), &(count), sizeof *(array))

/* Directives */

static void parse_epoch(struct parser *parser)
{
    struct script *script = parser->script;
    script->epoch_is_process_start = optional(parser, "process_start") != NULL;
    script->epoch = integer(parser, "boottime_ns", 0);
    script->fixed_time = seconds(parser, "fixed", -1);
}

static void parse_versions(struct parser *parser)
{
    struct script *script = parser->script;
    copy_text(parser, "driver", script->driver_version, sizeof script->driver_version);
    copy_text(parser, "nvml", script->nvml_version, sizeof script->nvml_version);
    script->cuda_version = (int)small(parser, "cuda");
}

static void parse_counters(struct parser *parser)
{
    copy_text(parser, "path", parser->script->counters, sizeof parser->script->counters);
}

static void parse_unsupported(struct parser *parser, struct card *card)
{
    char *rest = NULL, *names = optional(parser, "unsupported");
    if (names == NULL)
        return;
    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        int call = call_number(parser, name);
        if (call >= FIELD_BASE)
            card->unsupported_field[call - FIELD_BASE] = true;
        else if (call != ANY_CALL)
            card->unsupported[call] = true;
    }
}

static void parse_mig_profiles(struct parser *parser, struct card *card)
{
    char *rest = NULL, *names = optional(parser, "mig_profiles");
    unsigned slot = 0;
    for (char *name = names ? strtok_r(names, ",", &rest) : NULL; name != NULL;
         name = strtok_r(NULL, ",", &rest), slot++) {
        if (slot >= MAX_MIG_DEVICES || strlen(name) >= sizeof card->mig_profiles[slot])
            mistake(parser, "'%s' is one MIG instance too many, or too long", name);
        else if (strcmp(name, "-") != 0)
            strcpy(card->mig_profiles[slot], name);
    }
}

static void parse_card(struct parser *parser)
{
    int number = one_card(parser);
    struct card *card = &parser->script->cards[number];
    if (card->present)
        mistake(parser, "card %d is there twice", number);
    card->present = true;
    card->index = (int)integer(parser, "index", -1);
    card->minor = (unsigned)number;
    copy_text(parser, "name", card->name, sizeof card->name);
    copy_text(parser, "uuid", card->uuid, sizeof card->uuid);
    copy_text(parser, "serial", card->serial, sizeof card->serial);
    copy_text(parser, "bus_id", card->bus_id, sizeof card->bus_id);
    card->pci_device = small(parser, "pci_device");
    card->architecture = small(parser, "architecture");
    card->capability_major = small(parser, "capability_major");
    card->capability_minor = small(parser, "capability_minor");
    card->memory_total = (uint64_t)integer(parser, "memory_total", 0);
    card->memory_reserved = (uint64_t)integer(parser, "memory_reserved", 0);
    card->bar1_total = (uint64_t)integer(parser, "bar1_total", 0);
    card->limit = small(parser, "limit");
    card->limit_default = small(parser, "limit_default");
    card->limit_min = small(parser, "limit_min");
    card->limit_max = small(parser, "limit_max");
    card->power_window = integer(parser, "power_window_ms", 0) * MILLISECOND;
    card->clock_idle = small(parser, "clock_idle");
    card->clock_max = small(parser, "clock_max");
    card->clock_memory = small(parser, "clock_memory");
    card->clock_video = small(parser, "clock_video");
    card->links = small(parser, "links");
    card->mig = integer(parser, "mig", 0) != 0;
    parse_mig_profiles(parser, card);
    card->energy_base = (uint64_t)integer(parser, "energy_base", 0);
    card->energy_step = integer(parser, "energy_step_ms", 0) * MILLISECOND;
    parse_unsupported(parser, card);
    if (card->memory_reserved > card->memory_total)
        mistake(parser, "more memory reserved than there is");
}

/* One START:VALUE or START:VALUE>END; returns where the next one begins, NULL at the end. */
static char *parse_point(struct parser *parser, struct timeline *timeline, char *text)
{
    char *end;
    struct point *point = APPEND(timeline->points, timeline->count);
    point->start = nanoseconds(parser, text, &end);
    if (*end == ':')
        point->value = point->end = strtoll(end + 1, &end, 10);
    if (*end == '>')
        point->end = strtoll(end + 1, &end, 10);
    if ((*end != ',' && *end != '\0') || point->value < 0 || point->end < 0 ||
        point->value > MAX_VALUE || point->end > MAX_VALUE)
        mistake(parser, "'%s' is not START:VALUE or START:VALUE>END", text);
    return *end == ',' ? end + 1 : NULL;
}

static void sum_up(struct parser *parser, struct timeline *timeline)
{
    wide before = 0;
    for (size_t i = 0; i < timeline->count; i++) {
        struct point *point = &timeline->points[i];
        bool last = i + 1 == timeline->count;
        int64_t end = last ? timeline->period : point[1].start;
        point->before = before;
        if (last && timeline->period == 0) {
            if (point->end != point->value)
                mistake(parser, "the last segment has no end, so it cannot slope");
            return;
        }
        wide length = end - point->start;
        if (length <= 0 || (point->end != point->value && length > MAX_SLOPE_LENGTH))
            mistake(parser, "the segment at point %zu has no possible length", i);
        /* Rounded down as in library.py: an odd sum over an odd length has half a unit. */
        before += (point->value + point->end) * length / 2;
    }
    timeline->whole = before;
}

static void parse_timeline(struct parser *parser)
{
    struct card *card = &parser->script->cards[one_card(parser)];
    const char *name = optional(parser, "of");
    char *text = optional(parser, "points");
    int quantity = 0;
    while (name != NULL && quantity < QUANTITY_COUNT && strcmp(name, quantity_names[quantity]) != 0)
        quantity++;
    if (name == NULL || quantity == QUANTITY_COUNT || text == NULL) {
        mistake(parser, "a timeline needs of=QUANTITY and points=");
        return;
    }
    struct timeline *timeline = &card->timelines[quantity];
    if (timeline->count > 0)
        mistake(parser, "a second timeline of %s", name);
    timeline->period = seconds(parser, "period", 0);
    while (text != NULL && parser->error[0] == '\0')
        text = parse_point(parser, timeline, text);
    if (timeline->points[0].start != 0)
        mistake(parser, "a timeline starts at 0");
    sum_up(parser, timeline);
}

static void parse_energy(struct parser *parser)
{
    struct event *event = APPEND(parser->script->events, parser->script->event_count);
    const char *kind = optional(parser, "event"), *mode = optional(parser, "mode");
    static const char *const kinds[ENERGY_EVENT_COUNT] = {"reset", "jump", "freeze"};
    event->card = card_number(parser);
    event->when = window(parser);
    event->millijoules = integer(parser, "millijoules", 0);
    event->catches_up = mode != NULL && strcmp(mode, "catch_up") == 0;
    event->kind = ENERGY_EVENT_COUNT;
    for (int i = 0; kind != NULL && i < ENERGY_EVENT_COUNT; i++)
        if (strcmp(kind, kinds[i]) == 0)
            event->kind = (enum event_kind)i;
    if (event->kind == ENERGY_EVENT_COUNT || event->when.from == INT64_MIN)
        mistake(parser, "energy needs event=reset, jump or freeze, and from=");
    if (mode != NULL && !event->catches_up && strcmp(mode, "lose") != 0)
        mistake(parser, "mode is lose or catch_up");
}

static void parse_reload(struct parser *parser)
{
    struct reload *reload = APPEND(parser->script->reloads, parser->script->reload_count);
    reload->at = seconds(parser, "at", 0);
    reload->code = (nvmlReturn_t)integer(parser, "code", NVML_ERROR_UNINITIALIZED);
    reload->upgraded = integer(parser, "upgraded", 0) != 0;
}

static void parse_lost(struct parser *parser)
{
    struct lost *lost = APPEND(parser->script->losses, parser->script->loss_count);
    lost->card = one_card(parser);
    lost->when = window(parser);
}

static void parse_rule(struct parser *parser, enum rule_kind kind)
{
    struct rule *rule = APPEND(parser->script->rules, parser->script->rule_count);
    rule->kind = kind;
    rule->card = card_number(parser);
    rule->call = call_number(parser, optional(parser, "call"));
    rule->when = window(parser);
    rule->left = -1;
    if (kind == RULE_FAIL) {
        rule->code = (nvmlReturn_t)integer(parser, "code", NVML_ERROR_UNKNOWN);
        rule->left = integer(parser, "count", -1);
        copy_text(parser, "id", rule->identity, sizeof rule->identity);
    } else if (rule->call >= FIELD_BASE) {
        mistake(parser, "a single field cannot be delayed");
    } else if (kind == RULE_LATENCY) {
        rule->delay = (int64_t)small(parser, "us") * 1000;
    }
}

static void parse_fail(struct parser *parser)
{
    parse_rule(parser, RULE_FAIL);
}

static void parse_latency(struct parser *parser)
{
    parse_rule(parser, RULE_LATENCY);
}

static void parse_hang(struct parser *parser)
{
    parse_rule(parser, RULE_HANG);
}

static void parse_process(struct parser *parser)
{
    struct process *process = APPEND(parser->script->processes, parser->script->process_count);
    const char *type = optional(parser, "type"), *memory = optional(parser, "memory");
    process->card = one_card(parser);
    process->pid = small(parser, "pid");
    process->when = window(parser);
    if (memory == NULL || strcmp(memory, "unknown") == 0)
        process->memory = NVML_VALUE_NOT_AVAILABLE;
    else
        process->memory = (uint64_t)integer(parser, "memory", 0);
    if (type == NULL || strcmp(type, "compute") == 0)
        process->type = PROCESS_COMPUTE;
    else if (strcmp(type, "graphics") == 0)
        process->type = PROCESS_GRAPHICS;
    else if (strcmp(type, "mps") == 0)
        process->type = PROCESS_MPS;
    else
        mistake(parser, "type is compute, graphics or mps");
    process->sampled = optional(parser, "sm") != NULL;
    process->sm = small(parser, "sm");
    process->memory_utilization = small(parser, "mem");
    process->encoder = small(parser, "enc");
    process->decoder = small(parser, "dec");
    process->sample_age = seconds(parser, "age", 0) / 1000;
}

static void parse_line(struct parser *parser, char *line)
{
    static const struct {
        const char *name;
        void (*parse)(struct parser *);
    } directives[] = {
        {"epoch", parse_epoch},       {"versions", parse_versions}, {"counters", parse_counters},
        {"card", parse_card},         {"timeline", parse_timeline}, {"energy", parse_energy},
        {"reload", parse_reload},     {"lost", parse_lost},         {"fail", parse_fail},
        {"latency", parse_latency},   {"hang", parse_hang},         {"process", parse_process},
    };
    if (!split(parser, line))
        return;
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++)
        if (strcmp(parser->directive, directives[i].name) == 0) {
            directives[i].parse(parser);
            all_used(parser);
            return;
        }
    mistake(parser, "unknown directive '%s'", parser->directive);
}

/* The enumeration of what is present must be 0, 1, 2 … without holes. */
static void check_order(struct parser *parser)
{
    bool taken[MAX_CARDS] = {false};
    int enumerated = 0;
    for (int i = 0; i < MAX_CARDS; i++) {
        const struct card *card = &parser->script->cards[i];
        if (!card->present || card->index < 0)
            continue;
        if (card->index >= MAX_CARDS || taken[card->index])
            mistake(parser, "index %d is taken or too large", card->index);
        else
            taken[card->index] = true;
        enumerated++;
    }
    for (int i = 0; i < enumerated; i++)
        if (!taken[i])
            mistake(parser, "no card has index %d", i);
}

struct script *script_parse(char *text)
{
    struct parser parser = {.script = calloc(1, sizeof *parser.script)};
    char *rest = NULL;
    if (parser.script == NULL)
        abort();
    parser.script->fixed_time = -1;
    /* strsep keeps empty lines, so line numbers stay right. */
    for (rest = text; rest != NULL && parser.error[0] == '\0';) {
        char *line = strsep(&rest, "\n");
        parser.line++;
        parse_line(&parser, line);
    }
    check_order(&parser);
    if (parser.error[0] == '\0')
        return parser.script;
    fprintf(stderr, "scripted nvml: %s\n", parser.error);
    script_free(parser.script);
    return NULL;
}

void script_free(struct script *script)
{
    if (script == NULL)
        return;
    for (int card = 0; card < MAX_CARDS; card++)
        for (int quantity = 0; quantity < QUANTITY_COUNT; quantity++)
            free(script->cards[card].timelines[quantity].points);
    free(script->events);
    free(script->reloads);
    free(script->rules);
    free(script->processes);
    free(script->losses);
    free(script);
}
