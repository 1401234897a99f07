/*
 * An audit held against the truth. Every check is one function and one line in a table; what it
 * says of a peer goes into the list of differences.
 */
#include "cmd/lab_document.h"
#include "cmd/lab_estimates.h"
#include "cmd/lab_truth.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define RATE_TOLERANCE 0.10 /* of the rate that was set */
#define GROWTH_SLACK_S 1.0  /* how old the last HAVE may be when the audit ends */
#define SEEN_SLACK_S 5.0    /* of the audit: who comes as late, or goes as early, is not missed */
#define BYTES_SLACK (512u << 10) /* on the way when a probe ends: asked for, and not waited for */
#define TEXT_MAX 120

enum verdict { NOT_ASKED, RIGHT, WRONG };

/* One peer, in both documents. */
struct pair {
    const json_t *truth, *audit; /* audit NULL: it was not found */
    const json_t *peers;         /* of the truth */
    double lab_started, audit_started, audit_ended;
    json_int_t pieces;
    bool has_leechers; /* the lab */
    bool complete;     /* the lab was over when its truth was written: it knows what it gave */
    char text[TEXT_MAX];
};

__attribute__((format(printf, 2, 3))) static enum verdict wrong(struct pair *pair,
                                                                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(pair->text, sizeof pair->text, format, args);
    va_end(args);
    return WRONG;
}

static bool is_leecher(const json_t *truth)
{
    return json_is_array(json_object_get(truth, "took"));
}

/* Whether it holds more than it tells. */
static bool hides(const json_t *truth)
{
    return sk_lab_true(json_object_get(truth, "share"), "hidden");
}

/* Whether a leecher was there long enough for the audit to learn of it, and what it has. What
 * became of it is known in the end only. */
static bool was_there(const struct pair *pair)
{
    double joined = sk_lab_number(pair->truth, "joined"), left = sk_lab_number(pair->truth, "left");
    return pair->complete && joined + SEEN_SLACK_S <= pair->audit_ended &&
           !(left < pair->audit_started + SEEN_SLACK_S);
}

/* Whether the audit can have read its pieces; of a leecher that came or went meanwhile, whether it
 * did. */
static bool is_readable(const struct pair *pair)
{
    if (!pair->audit || !sk_lab_true(json_object_get(pair->truth, "share"), "readable"))
        return false;
    return !is_leecher(pair->truth) || was_there(pair) ||
           (pair->complete && !isnan(sk_lab_number(pair->audit, "pieces")));
}

static bool is_served(const struct pair *pair)
{
    return pair->audit && strcmp(sk_lab_text(pair->audit, "state"), "served") == 0 &&
           (is_leecher(pair->truth) || strcmp(sk_lab_text(pair->truth, "expected"), "served") == 0);
}

/* Whether the audit counts it among those that it was connected to. */
static bool is_connected(const struct pair *pair)
{
    static const char *const states[] = {"served", "choked", "idle", "observed"};
    bool is = false;
    for (size_t i = 0; i < SK_ARRAY_LEN(states); i++)
        is |= strcmp(sk_lab_text(pair->audit, "state"), states[i]) == 0;
    return is;
}

/* What it gave to peers of the lab, or to all others who came. */
static json_int_t gave(const struct pair *pair, const char *what, bool to_lab)
{
    const json_t *list = json_object_get(pair->truth, "gave"), *given;
    json_int_t sum = 0;
    size_t i;
    json_array_foreach(list, i, given)
    {
        bool of_lab = sk_lab_find_peer(pair->peers, sk_lab_text(given, "remote"));
        sum += of_lab == to_lab ? sk_lab_integer(given, what) : 0;
    }
    return sum;
}

/* ---- the checks ---- */

static enum verdict check_found(struct pair *pair)
{
    if (!pair->audit && is_leecher(pair->truth) && !was_there(pair))
        return NOT_ASKED;
    return pair->audit ? RIGHT : wrong(pair, "not found");
}

/* Of a leecher: what follows from what it gave. */
static enum verdict check_trade(struct pair *pair)
{
    const char *got = sk_lab_text(pair->audit, "state");
    bool served = strcmp(got, "served") == 0;
    bool stayed = was_there(pair) && !(sk_lab_number(pair->truth, "left") < pair->audit_ended);
    if (!pair->complete)
        return NOT_ASKED;
    if (!is_connected(pair))
        return stayed ? wrong(pair, "%s (%s), and trades", got, sk_lab_text(pair->audit, "reason"))
                      : NOT_ASKED;
    if (served && !gave(pair, "bytes", false))
        return wrong(pair, "served, and gave nothing");
    if (!served && gave(pair, "bytes", false) > BYTES_SLACK)
        return wrong(pair, "%s, and gave", got);
    return RIGHT;
}

static enum verdict check_outcome(struct pair *pair)
{
    const char *expected = sk_lab_text(pair->truth, "expected"),
               *got = sk_lab_text(pair->audit, "state");
    if (!pair->audit)
        return NOT_ASKED;
    if (is_leecher(pair->truth))
        return check_trade(pair);
    if (strcmp(expected, got) == 0)
        return RIGHT;
    return wrong(pair, "%s (%s), and should be %s", got, sk_lab_text(pair->audit, "reason"),
                 expected);
}

/* Pieces that a peer held at a time. Who left shows no more than it had then. */
static double held_at(const struct pair *pair, double unix_s)
{
    const json_t *share = json_object_get(pair->truth, "share"), *at;
    const json_t *gained_s = json_object_get(share, "gained_s");
    double held = (double)sk_lab_integer(share, "pieces_start");
    size_t i;
    json_array_foreach(gained_s, i, at) held += pair->lab_started + json_number_value(at) <= unix_s;
    if (gained_s && !json_is_null(gained_s))
        return held;
    double gained = floor(fmax(unix_s - pair->lab_started, 0) * sk_lab_number(share, "pieces_s"));
    return fmin(held + gained, (double)pair->pieces);
}

/* Pieces that it has told by the end of the audit. */
static double told_at_end(const struct pair *pair)
{
    double after_s = sk_lab_number(json_object_get(pair->truth, "share"), "tell_after_s");
    return held_at(pair, pair->audit_ended - GROWTH_SLACK_S - fmax(after_s, 0));
}

static enum verdict check_share(struct pair *pair)
{
    if (!is_readable(pair))
        return NOT_ASKED;
    double least = told_at_end(pair);
    double most = held_at(pair, pair->audit_ended + GROWTH_SLACK_S);
    double got = sk_lab_number(pair->audit, "pieces");
    if ((got >= least || hides(pair->truth)) && got <= most)
        return RIGHT;
    if (isnan(got))
        return wrong(pair, "share unknown, and has %.0f pieces", least);
    return wrong(pair, "%.0f pieces, and has %.0f", got, least);
}

/* Who hides what it gains is not said to gain anything, nor nothing. */
static enum verdict check_gains(struct pair *pair)
{
    char got_text[SK_UNITS_MAX];
    double got = sk_lab_number(json_object_get(pair->audit, "download"), "rate_bytes_s");
    if (!is_readable(pair) || !hides(pair->truth))
        return NOT_ASKED;
    return isnan(got) ? RIGHT
                      : wrong(pair, "gains %s, and tells nobody", sk_units_rate(got, got_text));
}

static enum verdict check_rate(struct pair *pair)
{
    char got_text[SK_UNITS_MAX], set_text[SK_UNITS_MAX];
    double set = sk_lab_number(pair->truth, "rate_bytes_s");
    bool steady = isnan(sk_lab_number(pair->truth, "choke_after_s"));
    /* Who gives to leechers too shares its rate out. */
    bool alone = pair->complete ? !gave(pair, "bytes", true) : !pair->has_leechers;
    if (!is_served(pair) || isnan(set) || !steady || !alone)
        return NOT_ASKED;
    double got = sk_lab_number(json_object_get(pair->audit, "delivered"), "rate_bytes_s");
    if (fabs(got - set) <= RATE_TOLERANCE * set)
        return RIGHT;
    return wrong(pair, "%s measured, and %s set", sk_units_rate(got, got_text),
                 sk_units_rate(set, set_text));
}

static enum verdict check_bytes(struct pair *pair)
{
    char got_text[SK_UNITS_MAX], gave_text[SK_UNITS_MAX];
    if (!is_served(pair) || !pair->complete)
        return NOT_ASKED;
    json_int_t got = sk_lab_integer(json_object_get(pair->audit, "delivered"), "bytes");
    json_int_t sent = gave(pair, "bytes", false);
    if (got <= sent && sent - got <= BYTES_SLACK)
        return RIGHT;
    return wrong(pair, "%s counted, and %s sent", sk_units_bytes((double)got, got_text),
                 sk_units_bytes((double)sent, gave_text));
}

static enum verdict check_corrupt(struct pair *pair)
{
    if (!is_served(pair))
        return NOT_ASKED;
    json_int_t got = sk_lab_integer(pair->audit, "blocks_corrupt");
    json_int_t verified = sk_lab_integer(pair->audit, "blocks_verified");
    bool liar = pair->complete ? gave(pair, "blocks_corrupt", false) > 0
                               : sk_lab_number(pair->truth, "corrupt") > 0;
    if (liar && !got)
        return wrong(pair, "sent corrupt blocks and was not caught");
    if (!liar && got)
        return wrong(pair, "%lld corrupt blocks, and sent none", (long long)got);
    /* Whom a choker cuts short leaves pieces that cannot be looked at. */
    if (!liar && !verified && !is_leecher(pair->truth))
        return wrong(pair, "delivered, and nothing of it was verified");
    return RIGHT;
}

static enum verdict check_client(struct pair *pair)
{
    if (!is_readable(pair))
        return NOT_ASKED;
    const char *got = sk_lab_text(pair->audit, "client"), *is = sk_lab_text(pair->truth, "client");
    return strcmp(got, is) == 0 ? RIGHT : wrong(pair, "client '%s', and is '%s'", got, is);
}

static enum verdict check_stream(struct pair *pair)
{
    const char *allowed = sk_lab_text(pair->truth, "encryption");
    const char *got = sk_lab_text(pair->audit, "encryption");
    if (!is_readable(pair) || !*got)
        return NOT_ASKED;
    const char *contrary = strcmp(allowed, "plain") == 0      ? "rc4"
                           : strcmp(allowed, "required") == 0 ? "plain"
                                                              : "";
    return strcmp(got, contrary) != 0 ? RIGHT : wrong(pair, "a %s stream, and refuses such", got);
}

static bool has_source(const struct pair *pair, const char *name)
{
    const json_t *list = json_object_get(pair->audit, "sources"), *value;
    size_t i;
    json_array_foreach(list, i, value) if (strcmp(json_string_value(value), name) == 0) return true;
    return false;
}

/* Of those that a tracker knows it tells some at a time: the others may come from peers alone. */
static enum verdict check_source(struct pair *pair)
{
    if (!pair->audit)
        return NOT_ASKED;
    bool announced = sk_lab_true(pair->truth, "tracker"), told = has_source(pair, "tracker");
    if (announced)
        return told ? RIGHT : NOT_ASKED;
    return told ? wrong(pair, "heard of from the tracker, and the tracker does not know it")
                : RIGHT;
}

/* Who lies has to be named; who does not, never accused. */
static enum verdict check_reports(struct pair *pair)
{
    const char *lie = sk_lab_text(pair->truth, "lie");
    const json_t *verdict = json_object_get(pair->audit, "verdict");
    if (!*lie || !json_is_object(verdict))
        return NOT_ASKED;
    bool honest = strcmp(lie, "none") == 0;
    bool accused = strcmp(sk_lab_text(verdict, "result"), "false-report") == 0;
    if (honest != accused)
        return RIGHT;
    return honest ? wrong(pair, "accused of a false report: %s", sk_lab_text(verdict, "claim"))
                  : wrong(pair, "lies (%s), and was not named: %s", lie,
                          sk_lab_text(verdict, "result"));
}

static const struct {
    enum verdict (*check)(struct pair *pair);
    const char *what; /* "%u of %u ..." */
} checks[] = {
    {check_found, "peers found"},
    {check_outcome, "outcomes as expected"},
    {check_share, "shares exact"},
    {check_gains, "hidden gains left open"},
    {check_rate, "rates within 10 %"},
    {check_bytes, "byte counts right"},
    {check_corrupt, "judged rightly by their blocks"},
    {check_client, "clients named"},
    {check_stream, "streams as allowed"},
    {check_source, "sources right"},
    {check_reports, "reports judged rightly"},
};

/* ---- all of them ---- */

enum { SEEDS, LEECHERS, PIECES_MISSING, FIGURES };

struct comparison {
    const struct sk_screen *screen;
    struct sk_table_cell *cells; /* of differences, three a row */
    size_t rows;
    uint32_t asked[SK_ARRAY_LEN(checks)], right[SK_ARRAY_LEN(checks)];
    uint32_t strangers; /* peers of the audit that are none of the lab's */
    /* What leechers change in the swarm's figures. */
    struct figure {
        json_int_t least, most;
    } figures[FIGURES];
};

enum { COLUMNS = 3 };

static int add_difference(struct comparison *c, const char *address, const char *kind,
                          const char *text)
{
    struct sk_table_cell *cells = sk_mem_realloc(c->cells, (c->rows + 1) * COLUMNS, sizeof *cells);
    if (!cells)
        return SKEP_ERR_NOMEM;
    c->cells = cells;
    const char *const texts[COLUMNS] = {address, kind, text};
    for (size_t i = 0; i < COLUMNS; i++) {
        struct sk_table_cell *cell = &cells[c->rows * COLUMNS + i];
        *cell = (struct sk_table_cell){.ink = i == 2 ? SK_INK_BAD : SK_INK_PLAIN};
        sk_text_escape(sk_bytes_text(texts[i]), cell->text, sizeof cell->text);
    }
    c->rows++;
    return 0;
}

static int compare_peer(struct comparison *c, struct pair *pair)
{
    int err = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(checks) && !err; i++) {
        enum verdict verdict = checks[i].check(pair);
        c->asked[i] += verdict != NOT_ASKED;
        c->right[i] += verdict == RIGHT;
        if (verdict == WRONG)
            err = add_difference(c, sk_lab_text(pair->truth, "address"),
                                 sk_lab_text(pair->truth, "kind"), pair->text);
    }
    return err;
}

/* What the truth counts a leecher as was so when it was written: how it stood when the audit ended,
 * give or take what it was told last. */
static void shift_figures(struct comparison *c, const struct pair *pair)
{
    const json_t *share = json_object_get(pair->truth, "share");
    if (!is_leecher(pair->truth))
        return;
    struct figure *as =
        &c->figures[sk_lab_integer(share, "pieces_end") == pair->pieces ? SEEDS : LEECHERS];
    if (sk_lab_true(share, "readable")) {
        as->least--;
        as->most--;
    }
    if (!is_connected(pair))
        return;
    bool known = is_readable(pair) && !hides(pair->truth);
    c->figures[PIECES_MISSING].most += hides(pair->truth) ? pair->pieces : 0;
    bool was = told_at_end(pair) >= (double)pair->pieces;
    bool is = held_at(pair, pair->audit_ended + GROWTH_SLACK_S) >= (double)pair->pieces;
    was &= known;
    is |= !is_readable(pair);
    c->figures[SEEDS].least += was;
    c->figures[SEEDS].most += is;
    c->figures[LEECHERS].least += !is;
    c->figures[LEECHERS].most += !was;
}

/* Figures of the swarm as a whole. */
static int compare_swarm(struct comparison *c, const json_t *truth, const json_t *audit)
{
    static const char *const keys[] = {
        [SEEDS] = "seeds", [LEECHERS] = "leechers", [PIECES_MISSING] = "pieces_missing"};
    int err = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(keys) && !err; i++) {
        char text[TEXT_MAX];
        json_int_t is = sk_lab_integer(truth, keys[i]), got = sk_lab_integer(audit, keys[i]);
        json_int_t least = is + c->figures[i].least, most = is + c->figures[i].most;
        snprintf(text, sizeof text, "%s: %lld, and are %lld", keys[i], (long long)got,
                 (long long)(got < least ? least : most));
        if (got < least || got > most)
            err = add_difference(c, "the swarm", "", text);
    }
    return err;
}

/* Peers that the audit has and the lab has not; a peer's second address is none. */
static int compare_strangers(struct comparison *c, const json_t *truth, const json_t *audit)
{
    const json_t *peer;
    size_t i;
    int err = 0;
    json_array_foreach(audit, i, peer)
    {
        const char *state = sk_lab_text(peer, "state"), *address = sk_lab_text(peer, "address");
        if (err || strcmp(state, "duplicate") == 0 || strcmp(state, "self") == 0 ||
            sk_lab_find_peer(truth, address))
            continue;
        c->strangers++;
        err = add_difference(c, address, "", "no peer of the lab");
    }
    return err;
}

static void write_result(const struct comparison *c, struct sk_buf *out)
{
    static const struct sk_table_column columns[COLUMNS] = {
        {.title = "PEER"}, {.title = "KIND"}, {.title = "DIFFERENCE", .least = 20}};
    char line[600];
    size_t n = 0;
    if (c->rows) {
        sk_table_write(c->screen, columns, COLUMNS, c->cells, c->rows, out);
        sk_buf_text(out, "\n");
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(checks); i++)
        if (c->asked[i])
            n += (size_t)snprintf(line + n, sizeof line - n, "%u of %u %s, ", c->right[i],
                                  c->asked[i], checks[i].what);
    snprintf(line + n, sizeof line - n, c->rows ? "%zu difference%s" : "no difference", c->rows,
             c->rows == 1 ? "" : "s");
    sk_ink_wrap(c->screen, c->rows ? SK_INK_BAD : SK_INK_GOOD, line, 0, out);
}

static int compare(struct comparison *c, const json_t *truth, const json_t *audit)
{
    const json_t *peers = json_object_get(truth, "peers"), *peer;
    const json_t *found = json_object_get(audit, "peers");
    struct pair pair = {
        .lab_started = sk_lab_number(truth, "started"),
        .audit_started = sk_lab_number(audit, "started"),
        .audit_ended = sk_lab_number(audit, "started") + sk_lab_number(audit, "seconds"),
        .pieces = sk_lab_integer(json_object_get(truth, "torrent"), "pieces"),
        .peers = peers,
        .complete = !json_is_null(json_object_get(truth, "ended")),
    };
    size_t i;
    int err = 0;
    json_array_foreach(peers, i, peer) pair.has_leechers |= is_leecher(peer);
    json_array_foreach(peers, i, peer)
    {
        pair.truth = peer;
        pair.audit = sk_lab_find_peer(found, sk_lab_text(peer, "address"));
        shift_figures(c, &pair);
        if (!err)
            err = compare_peer(c, &pair);
    }
    if (!err)
        err = compare_strangers(c, peers, found);
    if (!err)
        err = compare_swarm(c, json_object_get(truth, "swarm"), json_object_get(audit, "swarm"));
    return err;
}

static bool is_document(const json_t *document, const char *schema)
{
    return strcmp(sk_lab_text(document, "schema"), schema) == 0 &&
           json_is_array(json_object_get(document, "peers")) &&
           json_is_object(json_object_get(document, "swarm"));
}

int sk_lab_compare(const json_t *truth, const json_t *audit, const struct sk_screen *screen,
                   struct sk_buf *out, struct sk_lab_score *ret_score)
{
    struct comparison c = {.screen = screen};
    if (!is_document(truth, SK_LAB_SCHEMA) || !is_document(audit, "skep.audit/1"))
        return SKEP_ERR_MALFORMED;
    int err = compare(&c, truth, audit);
    if (!err)
        err = sk_lab_estimates_write(truth, audit, screen, out);
    if (!err)
        write_result(&c, out);
    sk_mem_free(c.cells);
    if (err || out->failed)
        return err ? err : SKEP_ERR_NOMEM;
    *ret_score = (struct sk_lab_score){
        .peers = (uint32_t)json_array_size(json_object_get(truth, "peers")),
        .differences = (uint32_t)c.rows,
    };
    return 0;
}
