/* What every exported call goes through: enter, answer, leave. */
#ifndef SCRIPTED_NVML_SESSION_H
#define SCRIPTED_NVML_SESSION_H

#include "script.h"

#define EXPORT __attribute__((visibility("default")))

/* One call in progress. The library's mutex is held from enter_* to leave. */
struct call {
    enum call_number number;
    int card; /* number in the script; ANY_CARD for a call on no card */
    unsigned instance; /* of a MIG device's handle, from 1; 0: the card itself */
    int64_t now; /* script time, ns */
    const struct script *script;
    nvmlReturn_t code;
};

/* True: compute the answer and write it. False: call->code says why not; write nothing.
 * Either way `return leave(&call)` must follow.
 * `arguments` is false when the caller passed NULL where an address is needed. */
bool enter_system(struct call *call, enum call_number number, bool arguments);
bool enter_device(struct call *call, enum call_number number, nvmlDevice_t device, bool arguments);
nvmlReturn_t leave(const struct call *call);

/* Copies a string into the caller's buffer, or sets the code for a buffer that is too small. */
void answer_text(struct call *call, char *into, unsigned size, const char *text);
/* The handle of a MIG instance (from 1) of the card a call is about. */
nvmlDevice_t instance_handle(const struct call *call, unsigned instance);
/* Place of a card in the enumeration of the session. */
unsigned session_index(int card);
/* What the script says instead of one field's value; NVML_SUCCESS when it says nothing. */
nvmlReturn_t field_verdict(const struct call *call, unsigned field);

#endif
