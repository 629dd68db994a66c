/* Values and energy of a script at a time, in exact integer arithmetic.
 *
 * library.py computes the same with Python's integers; a test compares the two. Powers are
 * milliwatts and times nanoseconds, so an integral of power is in picojoules.
 */
#include "script.h"

#define PICOJOULES_PER_MILLIJOULE 1000000000

static wide floor_division(wide dividend, wide divisor)
{
    wide quotient = dividend / divisor;
    return dividend % divisor != 0 && (dividend < 0) != (divisor < 0) ? quotient - 1 : quotient;
}

static const struct point *point_at(const struct timeline *timeline, int64_t time)
{
    size_t low = 0, high = timeline->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (timeline->points[middle].start <= time)
            low = middle;
        else
            high = middle;
    }
    return &timeline->points[low];
}

/* Length of a sloped segment; the parser has made sure that a sloped one ends somewhere. */
static int64_t segment_length(const struct timeline *timeline, const struct point *point)
{
    const struct point *last = &timeline->points[timeline->count - 1];
    return (point == last ? timeline->period : point[1].start) - point->start;
}

static wide integral(const struct timeline *timeline, int64_t time)
{
    wide sum = 0;
    if (timeline->count == 0 || time <= 0)
        return 0;
    if (timeline->period > 0) {
        sum = timeline->whole * (time / timeline->period);
        time %= timeline->period;
    }
    const struct point *point = point_at(timeline, time);
    wide elapsed = time - point->start;
    sum += point->before + point->value * elapsed;
    if (point->end != point->value)
        sum += floor_division((point->end - point->value) * elapsed * elapsed,
                              2 * (wide)segment_length(timeline, point));
    return sum;
}

bool within(struct window window, int64_t time)
{
    return window.from <= time && time < window.until;
}

int64_t script_value(const struct script *script, int card, enum quantity quantity, int64_t time)
{
    const struct timeline *timeline = &script->cards[card].timelines[quantity];
    if (timeline->count == 0)
        return 0;
    if (time < 0)
        time = 0;
    if (timeline->period > 0)
        time %= timeline->period;
    const struct point *point = point_at(timeline, time);
    if (point->end == point->value)
        return point->value;
    wide rise = (wide)(point->end - point->value) * (time - point->start);
    return point->value + (int64_t)floor_division(rise, segment_length(timeline, point));
}

int64_t script_mean(const struct script *script, int card, enum quantity quantity, int64_t time,
                    int64_t window)
{
    const struct timeline *timeline = &script->cards[card].timelines[quantity];
    int64_t start = time - window > 0 ? time - window : 0;
    if (start >= time)
        return script_value(script, card, quantity, time);
    return (int64_t)((integral(timeline, time) - integral(timeline, start)) / (time - start));
}

static bool concerns(const struct event *event, int card)
{
    return event->card == card || event->card == ANY_CARD;
}

/* When the counter last restarted from nothing; -1: never. */
static int64_t last_restart(const struct script *script, int card, int64_t time)
{
    int64_t restart = -1;
    for (size_t i = 0; i < script->event_count; i++) {
        const struct event *event = &script->events[i];
        if (event->kind == ENERGY_RESET && concerns(event, card) && event->when.from <= time &&
            event->when.from > restart)
            restart = event->when.from;
    }
    for (size_t i = 0; i < script->reload_count; i++)
        if (script->reloads[i].at <= time && script->reloads[i].at > restart)
            restart = script->reloads[i].at;
    return restart;
}

/* The time whose count is shown at `time`: earlier inside an update step or such a freeze. */
static int64_t shown_time(const struct script *script, int card, int64_t time)
{
    int64_t step = script->cards[card].energy_step, shown = time;
    for (size_t i = 0; i < script->event_count; i++) {
        const struct event *event = &script->events[i];
        if (event->kind == ENERGY_FREEZE && event->catches_up && concerns(event, card) &&
            within(event->when, time) && event->when.from < shown)
            shown = event->when.from;
    }
    return step > 0 && shown > 0 ? shown - shown % step : shown;
}

uint64_t script_energy(const struct script *script, int card, int64_t time)
{
    const struct timeline *power = &script->cards[card].timelines[POWER];
    time = shown_time(script, card, time);
    int64_t restart = last_restart(script, card, time);
    int64_t origin = restart > 0 ? restart : 0;
    wide millijoules = restart >= 0 ? 0 : script->cards[card].energy_base;
    wide picojoules = integral(power, time) - integral(power, origin);

    for (size_t i = 0; i < script->event_count; i++) {
        const struct event *event = &script->events[i];
        if (!concerns(event, card) || event->when.from > time)
            continue;
        if (event->kind == ENERGY_JUMP && event->when.from >= origin)
            millijoules += event->millijoules;
        if (event->kind == ENERGY_FREEZE && !event->catches_up) {
            int64_t from = event->when.from > origin ? event->when.from : origin;
            int64_t until = event->when.until < time ? event->when.until : time;
            if (from < until)
                picojoules -= integral(power, until) - integral(power, from);
        }
    }
    millijoules += picojoules / PICOJOULES_PER_MILLIJOULE;
    return millijoules > 0 ? (uint64_t)millijoules : 0;
}
