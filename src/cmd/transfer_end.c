/* How a transfer ended: a line for each torrent, or one JSON document. */
#include "cmd/transfer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/units.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 1024

const char *const sk_transfer_stages[] = {
    [SK_TRANSFER_METADATA] = "metadata",
    [SK_TRANSFER_HASHES] = "hashes",
    [SK_TRANSFER_CHECKING] = "checking",
    [SK_TRANSFER_ALLOCATING] = "allocating",
    [SK_TRANSFER_DOWNLOADING] = "downloading",
    [SK_TRANSFER_SEEDING] = "seeding",
    [SK_TRANSFER_ENDED] = "ended",
    [SK_TRANSFER_FAILED] = "failed",
};

/* "; web seed http://...: why", of the one that failed last in the list; nothing where none did. */
static void add_web_reason(const struct sk_transfer_torrent *t, char *text, size_t size)
{
    struct sk_downloader_web_seed seed;
    uint64_t now_ns = skep_runtime_now(t->transfer->runtime);
    size_t n = strlen(text);
    for (size_t i = 0; sk_downloader_web_seed(t->downloader, i, now_ns, &seed); i++)
        if (seed.reason)
            snprintf(text + n, size - n, "%sweb seed %.150s: %s", n ? "; " : "", seed.url,
                     seed.reason);
}

/* Whether a web seed is asked. */
static bool has_web_seed(const struct sk_transfer_torrent *t)
{
    struct sk_downloader_web_seed seed;
    uint64_t now_ns = skep_runtime_now(t->transfer->runtime);
    for (size_t i = 0; sk_downloader_web_seed(t->downloader, i, now_ns, &seed); i++)
        if (strcmp(seed.state, "active") == 0)
            return true;
    return false;
}

const char *sk_transfer_why(const struct sk_transfer_torrent *t,
                            char ret_text[2 * SK_TRANSFER_TEXT_MAX])
{
    struct sk_downloader_status status;
    size_t size = 2 * SK_TRANSFER_TEXT_MAX;
    sk_downloader_status(t->downloader, &status);
    bool metadata = t->stage == SK_TRANSFER_METADATA, hashes = t->stage == SK_TRANSFER_HASHES;
    ret_text[0] = 0;
    if (!metadata && !hashes && has_web_seed(t)) { /* it gives neither */
        snprintf(ret_text, size, "a web seed is asked, and gives nothing yet");
        return ret_text;
    }
    if (!t->known && !t->opened && t->tracker_failure[0] && !t->claims)
        snprintf(ret_text, size, "no peer is known; the tracker: %s", t->tracker_failure);
    else if (!t->known && !t->opened)
        snprintf(ret_text, size, "no peer is known");
    else if (!t->opened && t->failure[0])
        snprintf(ret_text, size, "none of %u peer%s can be reached: %s", t->known,
                 t->known == 1 ? "" : "s", t->failure);
    else if (!t->opened)
        snprintf(ret_text, size, "none of %u peer%s has answered", t->known,
                 t->known == 1 ? "" : "s");
    else if (metadata)
        snprintf(ret_text, size, "no peer gave the metadata");
    else if (!status.peers)
        snprintf(ret_text, size, "all peers are gone");
    else if (hashes)
        snprintf(ret_text, size, "no peer gave the hashes of its pieces");
    else if (!status.useful)
        snprintf(ret_text, size, "no peer has what is missing");
    else if (!status.unchoked)
        snprintf(ret_text, size, "all peers choke us");
    if (*ret_text)
        add_web_reason(t, ret_text, size);
    return ret_text;
}

/* ---- the figures ---- */

struct end {
    const struct sk_transfer_torrent *t;
    struct sk_downloader_status status;
    uint32_t pieces, have;
    uint64_t size;
    bool complete; /* all that was wanted */
    bool whole;    /* all there is */
    double seconds;
    int code;
};

/* Nothing at all came of it: what was it? Who was reached may yet have given something; who was not
 * is a matter of the network; else nobody has it. */
static int code_of_nothing(const struct sk_transfer_torrent *t)
{
    struct sk_downloader_web_seed seed;
    bool reached = t->opened > 0, unreached = t->known || (t->tracker_failure[0] && !t->claims);
    for (size_t i = 0; sk_downloader_web_seed(t->downloader, i, 0, &seed); i++) {
        reached |= seed.has_any && seed.answered;
        unreached |= seed.has_any && !seed.answered;
    }
    return reached ? SK_EXIT_PARTIAL : unreached ? SK_EXIT_NETWORK : SK_EXIT_NOTHING;
}

static int code_of(const struct end *end)
{
    const struct sk_transfer_torrent *t = end->t;
    if (t->code)
        return t->code;
    if (t->transfer->limits.only_seed)
        return end->have ? SK_EXIT_DONE : SK_EXIT_NOTHING;
    if (end->complete)
        return SK_EXIT_DONE;
    if (t->stage == SK_TRANSFER_METADATA && t->opened)
        return SK_EXIT_NOTHING;
    return end->have ? SK_EXIT_PARTIAL : code_of_nothing(t);
}

static void look(const struct sk_transfer *transfer, const struct sk_transfer_torrent *t,
                 struct end *ret_end)
{
    *ret_end = (struct end){
        .t = t, .pieces = skep_torrent_pieces(t->torrent), .size = skep_torrent_size(t->torrent)};
    sk_downloader_status(t->downloader, &ret_end->status);
    uint64_t end_ns = t->done_ns ? t->done_ns : skep_runtime_now(transfer->runtime);
    ret_end->seconds = (double)(end_ns - transfer->started_ns) / 1e9;
    ret_end->have = ret_end->status.counts.pieces_have;
    ret_end->whole = ret_end->pieces && ret_end->have == ret_end->pieces;
    ret_end->complete = transfer->limits.only_seed ? ret_end->whole : t->done_ns != 0;
    ret_end->code = code_of(ret_end);
}

/* ---- for people ---- */

__attribute__((format(printf, 2, 3))) static void add(char line[LINE_MAX_BYTES], const char *format,
                                                      ...)
{
    size_t n = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, LINE_MAX_BYTES - n, format, args);
    va_end(args);
}

static void add_have(const struct sk_transfer *transfer, const struct end *end, char *line)
{
    char size[SK_UNITS_MAX], have[SK_UNITS_MAX], pieces[SK_UNITS_MAX], share[SK_UNITS_MAX];
    const char *is = end->status.received_bytes || transfer->limits.only_seed ? "is" : "was";
    if (end->t->stage == SK_TRANSFER_HASHES || end->t->stage == SK_TRANSFER_CHECKING)
        add(line, "what is in %.300s was not checked", transfer->directory);
    else if (end->whole)
        add(line, "all of it (%s) %s in %.300s", sk_units_bytes((double)end->size, size), is,
            transfer->directory);
    else if (end->complete)
        add(line, "what was selected (%s) %s in %.300s",
            sk_units_bytes((double)end->status.counts.bytes_wanted, size), is, transfer->directory);
    else
        add(line, "%s of %s pieces (%s) are in %.300s", sk_units_count(end->have, have),
            sk_units_count(end->pieces, pieces),
            sk_units_share((double)end->have / (double)end->pieces, share), transfer->directory);
    if (strcmp(is, "was") == 0 && end->complete)
        add(line, " already");
}

static void add_came(const struct end *end, char *line)
{
    char came[SK_UNITS_MAX], given[SK_UNITS_MAX], wasted[SK_UNITS_MAX], time[SK_UNITS_MAX];
    const struct sk_downloader_status *status = &end->status;
    if (status->received_bytes)
        add(line, "; %s came in %s", sk_units_bytes((double)status->received_bytes, came),
            sk_units_duration(end->seconds, time));
    if (status->wasted_bytes)
        add(line, ", %s of it in vain", sk_units_bytes((double)status->wasted_bytes, wasted));
    if (end->t->given_bytes || end->t->transfer->limits.only_seed)
        add(line, "; gave %s", sk_units_bytes((double)end->t->given_bytes, given));
}

static const char *const stops[] = {[SK_TRANSFER_DONE] = "done",
                                    [SK_TRANSFER_INTERRUPTED] = "interrupted",
                                    [SK_TRANSFER_TIME] = "time is up"};

/* Why nothing came, or what is there could not be looked at; NULL: no reason. */
static const char *why(const struct end *end)
{
    const struct sk_transfer_torrent *t = end->t;
    bool waits = t->stage == SK_TRANSFER_METADATA || t->stage == SK_TRANSFER_HASHES;
    bool stuck = !end->complete && !end->status.received_bytes && t->stage != SK_TRANSFER_FAILED &&
                 (waits || !t->transfer->limits.only_seed);
    return stuck && *t->why ? t->why : NULL;
}

static void add_why(const struct end *end, char *line)
{
    if (why(end))
        add(line, "; %s", why(end));
}

/* Who publishes them wants to know. */
static void say_dropped(const struct end *end)
{
    struct sk_downloader_web_seed seed;
    for (size_t i = 0; sk_downloader_web_seed(end->t->downloader, i, 0, &seed); i++)
        if (strcmp(seed.state, "dropped") == 0)
            sk_complain("%.200s: web seed %.300s was dropped: %s", sk_transfer_name(end->t),
                        seed.url, seed.reason);
}

static void say(const struct sk_transfer *transfer, const struct end *end)
{
    char line[LINE_MAX_BYTES] = "";
    bool partial = !end->complete && !transfer->limits.only_seed;
    if (partial)
        add(line, "%s: ", stops[transfer->stopped]);
    if (end->pieces)
        add_have(transfer, end, line);
    else
        add(line, "nothing came");
    add_came(end, line);
    add_why(end, line);
    sk_complain("%.200s: %s", sk_transfer_name(end->t), line);
    if (!partial || end->status.received_bytes) /* else it was said why */
        say_dropped(end);
}

/* A reader that went had enough: nothing is said then. An exit code. */
static int say_streamed(const struct sk_transfer *transfer, const struct end *end)
{
    char line[LINE_MAX_BYTES] = "", size[SK_UNITS_MAX];
    uint64_t bytes;
    bool closed, partial = !sk_transfer_stream_ended(transfer->stream);
    int code = sk_transfer_stream_say_end(transfer->stream, &bytes, &closed);
    if (code || closed)
        return code;
    if (partial)
        add(line, "%s: ", stops[transfer->stopped]);
    add(line, "%s went to standard output", sk_units_bytes((double)bytes, size));
    add_came(end, line);
    if (partial)
        add_why(end, line);
    if (!transfer->options.quiet || partial)
        sk_complain("%.200s: %s", sk_transfer_name(end->t), line);
    return !partial    ? SK_EXIT_DONE
           : end->have ? SK_EXIT_PARTIAL
           : end->code ? end->code
                       : SK_EXIT_PARTIAL;
}

/* ---- for programs ---- */

/* Text from outside, escaped where it is no UTF-8; null where it is not known. */
static json_t *text_value(const char *text)
{
    char safe[4 * LINE_MAX_BYTES];
    if (!text)
        return json_null();
    return sk_text_is_utf8(sk_bytes_text(text))
               ? json_string_nocheck(text)
               : json_string(sk_text_escape(sk_bytes_text(text), safe, sizeof safe));
}

static json_t *path_value(const struct end *end)
{
    const struct sk_transfer_torrent *t = end->t;
    char path[SK_PATH_MAX];
    if (t->transfer->stream || !skep_torrent_name(t->torrent))
        return json_null();
    snprintf(path, sizeof path, "%s/%s", t->transfer->directory, skep_torrent_name(t->torrent));
    return text_value(path);
}

static json_t *web_seeds_value(const struct sk_transfer_torrent *t)
{
    struct sk_downloader_web_seed seed;
    uint64_t now_ns = skep_runtime_now(t->transfer->runtime);
    json_t *list = json_array();
    for (size_t i = 0; sk_downloader_web_seed(t->downloader, i, now_ns, &seed); i++)
        json_array_append_new(list, json_pack("{s:o, s:s, s:I, s:o}", "url", text_value(seed.url),
                                              "state", seed.state, "received",
                                              (json_int_t)seed.received_bytes, "reason",
                                              text_value(seed.reason)));
    return list;
}

static json_t *torrent_value(const struct end *end)
{
    const struct sk_transfer_torrent *t = end->t;
    const struct sk_downloader_status *status = &end->status;
    bool known = skep_torrent_has_metadata(t->torrent);
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:o, s:i, s:b, s:o, s:o}",
        "info_hash", t->hex, "name", text_value(skep_torrent_name(t->torrent)), "path",
        path_value(end), "size", known ? json_integer((json_int_t)end->size) : json_null(), "bytes",
        (json_int_t)status->counts.bytes_have, "bytes_wanted",
        (json_int_t)status->counts.bytes_wanted, "received", (json_int_t)status->received_bytes,
        "wasted", (json_int_t)status->wasted_bytes, "given", (json_int_t)t->given_bytes, "seconds",
        round(end->seconds * 1e6) / 1e6, "stage", sk_transfer_stages[t->stage], "pieces",
        known ? json_integer(end->pieces) : json_null(), "pieces_have", (int)end->have, "complete",
        (int)end->complete, "reason", text_value(why(end)), "web_seeds", web_seeds_value(t));
}

static int print_json(const struct sk_transfer *transfer)
{
    static const char *const names[] = {[SK_TRANSFER_DONE] = "done",
                                        [SK_TRANSFER_INTERRUPTED] = "interrupted",
                                        [SK_TRANSFER_TIME] = "time"};
    json_t *list = json_array();
    bool failed = false;
    for (size_t i = 0; i < transfer->count; i++) {
        struct end end;
        look(transfer, &transfer->torrents[i], &end);
        failed |= json_array_append_new(list, torrent_value(&end)) != 0;
    }
    double seconds = (double)(skep_runtime_now(transfer->runtime) - transfer->started_ns) / 1e9;
    json_t *root = json_pack("{s:s, s:f, s:s, s:o}", "schema", "skep.get/1", "seconds",
                             round(seconds * 1e6) / 1e6, "stopped", names[transfer->stopped],
                             "torrents", list);
    failed |= !root || json_dumpf(root, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII) != 0;
    json_decref(root);
    fputc('\n', stdout);
    if (!failed && fflush(stdout) == 0 && !ferror(stdout))
        return SK_EXIT_DONE;
    sk_complain("standard output: %s", failed ? skep_err_text(SKEP_ERR_NOMEM) : strerror(errno));
    return failed ? SK_EXIT_FAILED : SK_EXIT_STORAGE;
}

/* One torrent; its exit code. */
static int say_end(const struct sk_transfer *transfer, const struct sk_transfer_torrent *t)
{
    struct end end;
    look(transfer, t, &end);
    if (t->stage == SK_TRANSFER_FAILED) /* said already */
        return end.code;
    if (transfer->stream)
        return say_streamed(transfer, &end);
    if (!transfer->options.quiet || end.code)
        say(transfer, &end);
    return end.code;
}

int sk_transfer_say_ends(const struct sk_transfer *transfer)
{
    int code = transfer->options.format == SK_FORMAT_JSON ? print_json(transfer) : SK_EXIT_DONE;
    for (size_t i = 0; i < transfer->count; i++) {
        int one = say_end(transfer, &transfer->torrents[i]);
        code = SK_MAX(code, one);
    }
    return code;
}
