#include "proto/dht/lookup.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <math.h>

#define CAPACITY_MIN 32
#define TELLER_CREDIT 3 /* dead nodes that one may tell of before the others of it are put off */
#define PORT_MIN 1024   /* strangers do not point us to lower ones in public space */
#define CLOSING_MAX 16  /* under way at a time, at the end */
#define MISFITS_MAX 8   /* asked, of those whose id does not fit their address */
#define WAYS_MIN 8      /* that are tried when astray */
#define WAYS_MAX 32
#define WAYS_FEW 2 /* up to so many times too far: the least */

void sk_dht_lookup_init(struct sk_dht_lookup *lookup, const struct sk_dht_lookup_config *config)
{
    *lookup = (struct sk_dht_lookup){.config = *config, .ways_last = SK_DHT_NOBODY};
    sk_buf_init(&lookup->tokens, SK_DHT_SEARCH_CANDIDATES_MAX * SK_KRPC_TOKEN_MAX);
}

void sk_dht_lookup_deinit(struct sk_dht_lookup *lookup)
{
    sk_mem_free(lookup->candidates);
    sk_mem_free(lookup->order);
    sk_buf_deinit(&lookup->tokens);
    *lookup = (struct sk_dht_lookup){0};
}

double sk_dht_share(const uint8_t a[SK_DHT_ID_SIZE], const uint8_t b[SK_DHT_ID_SIZE])
{
    return ((double)(sk_get_u64(a) ^ sk_get_u64(b)) + 1) * 0x1p-64;
}

static struct sk_dht_candidate *at(const struct sk_dht_lookup *lookup, size_t place)
{
    return &lookup->candidates[lookup->order[place]];
}

static bool counts(const struct sk_dht_lookup *lookup, const struct sk_dht_candidate *candidate)
{
    return candidate->fits || !lookup->config.ids_by_address;
}

/* Where in the order an id has its place. */
static size_t place_of(const struct sk_dht_lookup *lookup, const uint8_t id[SK_DHT_ID_SIZE])
{
    size_t low = 0, high = lookup->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sk_dht_compare(lookup->config.target, at(lookup, middle)->contact.id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts a slot into the order, `count` of which does not count it yet. */
static void order_insert(struct sk_dht_lookup *lookup, uint16_t slot)
{
    size_t place = place_of(lookup, lookup->candidates[slot].contact.id);
    memmove(lookup->order + place + 1, lookup->order + place,
            (lookup->count - place) * sizeof *lookup->order);
    lookup->order[place] = slot;
    lookup->count++;
}

static void order_remove(struct sk_dht_lookup *lookup, uint16_t slot)
{
    size_t place = 0;
    while (lookup->order[place] != slot)
        place++;
    lookup->count--;
    memmove(lookup->order + place, lookup->order + place + 1,
            (lookup->count - place) * sizeof *lookup->order);
}

/* What a candidate adds to the accounts of the lookup and of the one that told of it. */
static void account(struct sk_dht_lookup *lookup, const struct sk_dht_candidate *candidate,
                    int change)
{
    struct sk_dht_candidate nobody;
    struct sk_dht_candidate *teller =
        candidate->teller == SK_DHT_NOBODY ? &nobody : &lookup->candidates[candidate->teller];
    switch (candidate->state) {
    case SK_DHT_CANDIDATE_NEW:
        return;
    case SK_DHT_CANDIDATE_ASKED:
        lookup->under_way += change;
        teller->told_asked += change;
        return;
    case SK_DHT_CANDIDATE_ANSWERED:
        teller->told_alive += change;
        return;
    }
    teller->told_failed += change;
}

static void set_state(struct sk_dht_lookup *lookup, struct sk_dht_candidate *candidate,
                      enum sk_dht_candidate_state state)
{
    account(lookup, candidate, -1);
    candidate->state = (uint8_t)state;
    account(lookup, candidate, 1);
}

static int grow(struct sk_dht_lookup *lookup)
{
    size_t capacity = lookup->capacity ? lookup->capacity * 2u : CAPACITY_MIN;
    capacity = SK_MIN(capacity, SK_DHT_SEARCH_CANDIDATES_MAX);
    uint16_t *order = sk_mem_realloc(lookup->order, capacity, sizeof *order);
    if (!order)
        return SKEP_ERR_NOMEM;
    lookup->order = order;
    struct sk_dht_candidate *candidates =
        sk_mem_realloc(lookup->candidates, capacity, sizeof *candidates);
    if (!candidates)
        return SKEP_ERR_NOMEM;
    lookup->candidates = candidates;
    lookup->capacity = (uint16_t)capacity;
    return 0;
}

static bool is_untouched(const struct sk_dht_candidate *candidate)
{
    return candidate->state == SK_DHT_CANDIDATE_NEW && !candidate->queries;
}

/* A slot for somebody with this id: a new one or that of the farthest whom nobody asked yet. */
static int slot_for(struct sk_dht_lookup *lookup, const uint8_t id[SK_DHT_ID_SIZE],
                    uint16_t *ret_slot)
{
    if (lookup->count == lookup->capacity && lookup->count < SK_DHT_SEARCH_CANDIDATES_MAX) {
        int err = grow(lookup);
        if (err)
            return err;
    }
    if (lookup->count < lookup->capacity) {
        *ret_slot = lookup->count;
        return 0;
    }
    size_t place = lookup->count;
    while (place > 0 && !is_untouched(at(lookup, place - 1)))
        place--;
    if (place == 0 ||
        sk_dht_compare(lookup->config.target, at(lookup, place - 1)->contact.id, id) <= 0)
        return SKEP_ERR_LIMIT;
    *ret_slot = lookup->order[place - 1];
    order_remove(lookup, *ret_slot);
    return 0;
}

static bool same_place(const struct sk_endpoint *a, const struct sk_endpoint *b, bool public)
{
    if (!public)
        return sk_endpoint_equal(a, b);
    return memcmp(a->addr, b->addr, a->family == SK_FAMILY_V6 ? 8 : 4) == 0;
}

static struct sk_dht_candidate *find(const struct sk_dht_lookup *lookup,
                                     const struct sk_endpoint *endpoint)
{
    bool public = sk_endpoint_scope(endpoint) == SK_SCOPE_PUBLIC;
    for (size_t slot = 0; slot < lookup->count; slot++)
        if (same_place(&lookup->candidates[slot].contact.endpoint, endpoint, public))
            return &lookup->candidates[slot];
    return NULL;
}

static struct sk_dht_candidate make(const struct sk_dht_lookup *lookup,
                                    const struct sk_dht_contact *contact, uint16_t teller)
{
    unsigned step = teller == SK_DHT_NOBODY ? 1 : lookup->candidates[teller].step + 1u;
    return (struct sk_dht_candidate){
        .contact = *contact,
        .teller = teller,
        .tellers = 1,
        .step = (uint16_t)step,
        .fits = sk_dht_id_fits(contact->id, &contact->endpoint),
    };
}

/*
 * Somebody told of an address that is a candidate already. The nearer of two ids is asked for; who
 * answered with another id than it was asked for is believed when it is told of by that one.
 */
static void told_again(struct sk_dht_lookup *lookup, struct sk_dht_candidate *old,
                       const struct sk_dht_contact *contact, uint16_t teller)
{
    uint16_t slot = (uint16_t)(old - lookup->candidates);
    bool same = sk_endpoint_equal(&old->contact.endpoint, &contact->endpoint) &&
                memcmp(old->contact.id, contact->id, SK_DHT_ID_SIZE) == 0;
    if (same) {
        if (teller != SK_DHT_NOBODY && old->tellers < UINT8_MAX)
            old->tellers++;
        if (old->state == SK_DHT_CANDIDATE_REJECTED && old->other_id && slot != teller)
            set_state(lookup, old, SK_DHT_CANDIDATE_ANSWERED);
    } else if (is_untouched(old) && old->teller != SK_DHT_NOBODY &&
               sk_dht_compare(lookup->config.target, contact->id, old->contact.id) < 0) {
        order_remove(lookup, slot);
        *old = make(lookup, contact, teller);
        order_insert(lookup, slot);
    }
}

static int add(struct sk_dht_lookup *lookup, const struct sk_dht_contact *contact, uint16_t teller)
{
    if (contact->endpoint.family != lookup->config.family ||
        memcmp(contact->id, lookup->config.self, SK_DHT_ID_SIZE) == 0)
        return 0;
    struct sk_dht_candidate *old = find(lookup, &contact->endpoint);
    if (old) {
        told_again(lookup, old, contact, teller);
        return 0;
    }
    uint16_t slot;
    int err = slot_for(lookup, contact->id, &slot);
    if (err)
        return err == SKEP_ERR_LIMIT ? 0 : err;
    lookup->candidates[slot] = make(lookup, contact, teller);
    order_insert(lookup, slot);
    return 0;
}

int sk_dht_lookup_know(struct sk_dht_lookup *lookup, const struct sk_dht_contact *contacts,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = add(lookup, &contacts[i], SK_DHT_NOBODY);
        if (err)
            return err;
    }
    return 0;
}

bool sk_dht_may_tell(enum sk_scope teller, const struct sk_endpoint *endpoint)
{
    return sk_endpoint_reachable_from(endpoint, teller) &&
           (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC || endpoint->port >= PORT_MIN);
}

int sk_dht_lookup_told(struct sk_dht_lookup *lookup, uint16_t teller,
                       const struct sk_dht_contact *contacts, size_t count)
{
    const uint8_t *target = lookup->config.target;
    enum sk_scope scope = sk_endpoint_scope(&lookup->candidates[teller].contact.endpoint);
    struct sk_dht_contact nearest[SK_DHT_TOLD_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!sk_dht_may_tell(scope, &contacts[i].endpoint))
            continue;
        size_t place = n;
        while (place > 0 && sk_dht_compare(target, contacts[i].id, nearest[place - 1].id) < 0)
            place--;
        if (place == SK_DHT_TOLD_MAX)
            continue;
        n = SK_MIN(n + 1, SK_DHT_TOLD_MAX);
        memmove(nearest + place + 1, nearest + place, (n - place - 1) * sizeof *nearest);
        nearest[place] = contacts[i];
    }
    for (size_t i = 0; i < n; i++) {
        int err = add(lookup, &nearest[i], teller);
        if (err)
            return err;
    }
    return 0;
}

/*
 * Whether a candidate is worth a query for now. Whoever tells of nodes that are not there is
 * believed a few times only, more often for each that is; who is told of by two is believed.
 */
static bool trusted(const struct sk_dht_lookup *lookup, const struct sk_dht_candidate *candidate)
{
    if (!counts(lookup, candidate) && lookup->misfits_asked >= MISFITS_MAX)
        return false;
    if (candidate->teller == SK_DHT_NOBODY || candidate->tellers > 1 || candidate->queries)
        return true;
    const struct sk_dht_candidate *teller = &lookup->candidates[candidate->teller];
    return teller->told_failed + teller->told_asked < TELLER_CREDIT + 2 * teller->told_alive;
}

struct view {
    uint16_t next;     /* the nearest to be asked; NOBODY */
    uint16_t last;     /* the farthest of the k */
    unsigned answered; /* of the k nearest that may be alive */
    bool full;         /* there are k that may be alive */
    bool closing;      /* the nearest of them has answered */
};

/* Looks at the k nearest that may be alive; with `all` also at those that are not trusted. */
static struct view survey(const struct sk_dht_lookup *lookup, bool all)
{
    struct view view = {.next = SK_DHT_NOBODY};
    unsigned alive = 0;
    for (size_t place = 0; place < lookup->count && !view.full; place++) {
        const struct sk_dht_candidate *candidate = at(lookup, place);
        if (candidate->state == SK_DHT_CANDIDATE_ANSWERED && counts(lookup, candidate)) {
            view.closing |= alive == 0;
            view.answered++;
        } else if (candidate->state == SK_DHT_CANDIDATE_NEW &&
                   (all || trusted(lookup, candidate))) {
            if (view.next == SK_DHT_NOBODY)
                view.next = lookup->order[place];
        } else if (candidate->state != SK_DHT_CANDIDATE_ASKED) {
            continue;
        }
        view.last = lookup->order[place];
        view.full = ++alive == lookup->config.k;
    }
    return view;
}

static double share(const struct sk_dht_lookup *lookup, uint16_t slot)
{
    return sk_dht_share(lookup->config.target, lookup->candidates[slot].contact.id);
}

/*
 * How many other ways must lead no nearer before the k closest, which all answered, are believed to
 * be that. None where they are as near as chance may have it (of k nodes it makes k more or less
 * than its square root), or while they are not known.
 */
static unsigned ways_wanted(const struct sk_dht_lookup *lookup, const struct view *view)
{
    unsigned k = lookup->config.k;
    if (!view->full || view->answered < k)
        return 0;
    double nearer = share(lookup, view->last) * lookup->config.nodes;
    return nearer <= k + 2 * sqrt(k) ? 0 : nearer <= WAYS_FEW * k ? WAYS_MIN : WAYS_MAX;
}

static unsigned ways_tried(const struct sk_dht_lookup *lookup, const struct view *view)
{
    return lookup->ways_last == view->last ? lookup->ways_tried : 0;
}

/* Another way: the nearest that we knew ourselves, or else the nearest. */
static uint16_t other_way(const struct sk_dht_lookup *lookup)
{
    uint16_t slot = SK_DHT_NOBODY;
    for (size_t place = 0; place < lookup->count; place++) {
        const struct sk_dht_candidate *candidate = at(lookup, place);
        if (candidate->state != SK_DHT_CANDIDATE_NEW || !counts(lookup, candidate))
            continue;
        if (candidate->teller == SK_DHT_NOBODY)
            return lookup->order[place];
        if (slot == SK_DHT_NOBODY && trusted(lookup, candidate))
            slot = lookup->order[place];
    }
    return slot;
}

static uint16_t next_slot(const struct sk_dht_lookup *lookup, bool *ret_other)
{
    struct view view = survey(lookup, false);
    unsigned alpha = lookup->config.alpha;
    if (view.closing)
        alpha = SK_MAX(alpha, SK_MIN(lookup->config.k, CLOSING_MAX));
    if (lookup->under_way >= alpha)
        return SK_DHT_NOBODY;
    if (view.next == SK_DHT_NOBODY && !view.full)
        return survey(lookup, true).next;
    *ret_other = ways_tried(lookup, &view) < ways_wanted(lookup, &view);
    return *ret_other ? other_way(lookup) : view.next;
}

bool sk_dht_lookup_next(struct sk_dht_lookup *lookup, uint16_t *ret_slot)
{
    bool other = false;
    uint16_t slot = next_slot(lookup, &other);
    if (slot == SK_DHT_NOBODY)
        return false;
    if (other) {
        uint16_t last = survey(lookup, false).last;
        lookup->ways_tried = lookup->ways_last == last ? lookup->ways_tried + 1 : 1;
        lookup->ways_last = last;
    }
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    set_state(lookup, candidate, SK_DHT_CANDIDATE_ASKED);
    if (!counts(lookup, candidate))
        lookup->misfits_asked++;
    candidate->queries++;
    candidate->waiting++;
    *ret_slot = slot;
    return true;
}

bool sk_dht_lookup_again(struct sk_dht_lookup *lookup)
{
    bool any = false;
    unsigned near = 0;
    for (size_t place = 0; place < lookup->count && near < lookup->config.k; place++) {
        struct sk_dht_candidate *candidate = at(lookup, place);
        bool unheard = candidate->state == SK_DHT_CANDIDATE_SLOW ||
                       candidate->state == SK_DHT_CANDIDATE_SILENT;
        if (!counts(lookup, candidate) ||
            (!unheard && candidate->state != SK_DHT_CANDIDATE_ANSWERED))
            continue;
        near++;
        if (unheard && candidate->queries == 1) {
            set_state(lookup, candidate, SK_DHT_CANDIDATE_NEW);
            any = true;
        }
    }
    return any;
}

bool sk_dht_lookup_over(const struct sk_dht_lookup *lookup)
{
    struct view view = survey(lookup, false);
    if (!view.full)
        return !lookup->under_way && survey(lookup, true).next == SK_DHT_NOBODY;
    if (view.answered < lookup->config.k)
        return false;
    unsigned wanted = ways_wanted(lookup, &view);
    return !wanted || (!lookup->under_way &&
                       (ways_tried(lookup, &view) >= wanted || other_way(lookup) == SK_DHT_NOBODY));
}

bool sk_dht_lookup_few(const struct sk_dht_lookup *lookup)
{
    return !survey(lookup, false).full;
}

bool sk_dht_lookup_heard(struct sk_dht_lookup *lookup, uint16_t slot)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    candidate->waiting--;
    return candidate->state != SK_DHT_CANDIDATE_ANSWERED &&
           candidate->state != SK_DHT_CANDIDATE_REJECTED;
}

bool sk_dht_lookup_answered(struct sk_dht_lookup *lookup, uint16_t slot,
                            const uint8_t id[SK_DHT_ID_SIZE], uint64_t rtt_ns)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    candidate->rtt_ns = SK_MAX(rtt_ns, 1);
    if (memcmp(candidate->contact.id, id, SK_DHT_ID_SIZE) == 0) {
        set_state(lookup, candidate, SK_DHT_CANDIDATE_ANSWERED);
        return true;
    }
    /* Told wrongly by another, or it says what suits it: an id bound to its address tells. */
    order_remove(lookup, slot);
    memcpy(candidate->contact.id, id, SK_DHT_ID_SIZE);
    candidate->fits = sk_dht_id_fits(id, &candidate->contact.endpoint);
    candidate->other_id = true;
    order_insert(lookup, slot);
    bool proved = lookup->config.ids_by_address && candidate->fits &&
                  sk_endpoint_scope(&candidate->contact.endpoint) == SK_SCOPE_PUBLIC;
    set_state(lookup, candidate, proved ? SK_DHT_CANDIDATE_ANSWERED : SK_DHT_CANDIDATE_REJECTED);
    return proved;
}

int sk_dht_lookup_token(struct sk_dht_lookup *lookup, uint16_t slot, struct sk_bytes token)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    if (!token.n || token.n > SK_KRPC_TOKEN_MAX || candidate->token_size)
        return 0;
    size_t at_byte = lookup->tokens.n;
    int err = sk_buf_append(&lookup->tokens, token.p, token.n);
    lookup->tokens.failed = false;
    if (err)
        return err;
    candidate->token = (uint16_t)at_byte;
    candidate->token_size = (uint8_t)token.n;
    return 0;
}

void sk_dht_lookup_slow(struct sk_dht_lookup *lookup, uint16_t slot)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    if (candidate->state == SK_DHT_CANDIDATE_ASKED)
        set_state(lookup, candidate, SK_DHT_CANDIDATE_SLOW);
}

bool sk_dht_lookup_lost(struct sk_dht_lookup *lookup, uint16_t slot)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    bool silent = --candidate->waiting == 0 && (candidate->state == SK_DHT_CANDIDATE_ASKED ||
                                                candidate->state == SK_DHT_CANDIDATE_SLOW);
    if (silent)
        set_state(lookup, candidate, SK_DHT_CANDIDATE_SILENT);
    return silent;
}

void sk_dht_lookup_reject(struct sk_dht_lookup *lookup, uint16_t slot)
{
    struct sk_dht_candidate *candidate = &lookup->candidates[slot];
    set_state(lookup, candidate, SK_DHT_CANDIDATE_REJECTED);
    candidate->other_id = false; /* it does not count, whoever else tells of it */
}

size_t sk_dht_lookup_closest(const struct sk_dht_lookup *lookup, uint16_t *ret_slots, size_t max)
{
    size_t n = 0;
    for (size_t place = 0; place < lookup->count && n < SK_MIN(max, lookup->config.k); place++) {
        const struct sk_dht_candidate *candidate = at(lookup, place);
        if (candidate->state == SK_DHT_CANDIDATE_ANSWERED && counts(lookup, candidate))
            ret_slots[n++] = lookup->order[place];
    }
    return n;
}

uint32_t sk_dht_lookup_silent(const struct sk_dht_lookup *lookup)
{
    uint32_t count = 0;
    for (size_t slot = 0; slot < lookup->count; slot++)
        count += lookup->candidates[slot].state == SK_DHT_CANDIDATE_SLOW ||
                 lookup->candidates[slot].state == SK_DHT_CANDIDATE_SILENT;
    return count;
}

double sk_dht_lookup_nodes(const struct sk_dht_lookup *lookup)
{
    struct view view = survey(lookup, false);
    bool tells = view.full && view.answered == lookup->config.k && lookup->config.k > 1;
    return tells ? (lookup->config.k - 1) / share(lookup, view.last) : 0;
}

size_t sk_dht_lookup_bytes(const struct sk_dht_lookup *lookup)
{
    return lookup->capacity * (sizeof *lookup->candidates + sizeof *lookup->order) +
           lookup->tokens.cap;
}

const char *sk_dht_lookup_fault(const struct sk_dht_lookup *lookup)
{
    unsigned asked = 0;
    uint32_t told = 0, alive = 0;
    for (size_t place = 0; place < lookup->count; place++) {
        const struct sk_dht_candidate *candidate = at(lookup, place);
        if (place && sk_dht_compare(lookup->config.target, at(lookup, place - 1)->contact.id,
                                    candidate->contact.id) > 0)
            return "candidates are not in order";
        if (find(lookup, &candidate->contact.endpoint) != candidate)
            return "two candidates have one address";
        if (candidate->teller != SK_DHT_NOBODY && candidate->teller >= lookup->count)
            return "a candidate was told of by nobody";
        if (candidate->waiting > candidate->queries || candidate->queries > 2)
            return "a candidate was asked too often";
        asked += candidate->state == SK_DHT_CANDIDATE_ASKED;
        alive +=
            candidate->state == SK_DHT_CANDIDATE_ANSWERED && candidate->teller != SK_DHT_NOBODY;
        told += candidate->told_alive;
    }
    if (asked != lookup->under_way || told != alive)
        return "the accounts of a lookup are wrong";
    return lookup->count > SK_DHT_SEARCH_CANDIDATES_MAX ? "too many candidates" : NULL;
}
