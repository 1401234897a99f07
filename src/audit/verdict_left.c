/* Left, against the pieces that the peer told to hold, and those that it gained afterwards. */
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define SHOWN_S 300         /* in that time a super-seed has shown a piece */
#define SHOWN_PIECES 2      /* that it may show at once, by HAVEs: its bitfield is empty */
#define WHOLE_LEAST 3       /* announces of whole pieces, to believe that it counts by them */
#define UNDER_WAY_LEAST 20  /* announces, to learn from how much is under way */
#define UNDER_WAY_SHARE 0.8 /* of them tell so; others may hide HAVEs, which looks the same */
#define UNDER_WAY_TIMES 4.0 /* so many times as much as these is the most */
#define SCATTERED 5         /* runs of pieces that are no choice of files */

/* Bytes that it told to hold by this time. */
static double held(const struct sk_tally *tally, double at_s)
{
    return (double)(tally->first + sk_tally_bytes(tally, sk_tally_told(tally, at_s)));
}

/*
 * Whether the piece certainly was not held at since_ms. HAVEs tell when a piece was gained. One
 * that only a bitfield told may have been there for long, with its HAVE suppressed; unless what it
 * was known not to hold before was said by a bitfield, too: no HAVEs came in that connection.
 */
static bool was_lacking(const struct sk_timeline_peer *peer, const struct sk_gain *gain)
{
    if (gain->since_ms == gain->at_ms)
        return true;
    for (uint32_t i = 0; i < peer->watched_count; i++)
        if (gain->since_ms >= peer->watched[i].from_ms &&
            gain->since_ms < peer->watched[i].until_ms)
            return !peer->watched[i].tells;
    return false;
}

/* Gains of what was lacking, from the last one back, as far as it was lacking all the time. */
struct later {
    uint32_t next; /* gains before it are not counted yet */
    double bytes;
    const struct sk_reports_line *line; /* until which they are; NULL: none is */
};

static double gained_after(struct later *later, const struct sk_tally *tally, double at_s)
{
    const struct sk_gain *gains = tally->peer->gains;
    for (; later->next && gains[later->next - 1].since_ms > at_s * 1e3; later->next--)
        if (was_lacking(tally->peer, &gains[later->next - 1]))
            later->bytes += sk_timeline_piece_bytes(tally->timeline, gains[later->next - 1].piece);
    return later->bytes;
}

/*
 * Back to an announce before: of what was gained after it, it need not have lacked what it wanted
 * later only. It lacked less by what it gained, and more by what it wanted, or lost. Of one file
 * there is no choice; and who took what he chose says that he downloaded it.
 */
static void go_back(struct later *later, const struct sk_judge *judge, const struct sk_tally *tally,
                    const struct sk_reports_line *line)
{
    const struct sk_reports_line *next = later->line;
    double before = later->bytes;
    double gained = gained_after(later, tally, line->at_s + judge->slack_s) - before;
    later->line = line;
    if (!next)
        return;
    double down =
        sk_judge_difference(line->downloaded, next->downloaded, sk_judge_anew(line, next));
    double more = (double)next->left - (double)line->left;
    if (judge->config->files != 1 && !(down * 2 < gained))
        more += gained;
    later->bytes = SK_MAX(later->bytes - SK_MAX(more, 0.0), 0.0);
}

/*
 * Whether the peer's i-th line falls into a connection of ours, or into several with one run of the
 * client: from the begin of the first to the end of the last. Of a line that begins a run: into
 * one.
 */
static bool around(const struct sk_judge *judge, uint32_t index,
                   const struct sk_reports_line *lines, uint32_t i, struct sk_span *ret_span)
{
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    const struct sk_reports_line *line = &lines[i];
    bool anew = line->event == SK_ANNOUNCE_STARTED || (i && sk_judge_anew(line - 1, line));
    for (uint32_t first = 0, end; first < peer->watched_count; first = end) {
        end = anew ? first + 1 : sk_judge_run_end(judge, index, first);
        uint32_t until_ms = SK_MIN(peer->watched[end - 1].until_ms, judge->timeline->end_ms);
        *ret_span = (struct sk_span){peer->watched[first].from_ms, until_ms};
        if (line->at_s - judge->slack_s >= ret_span->from_ms / 1e3 &&
            line->at_s + judge->slack_s <= until_ms / 1e3)
            return true;
    }
    return false;
}

/* Whether the pieces lie about as chance has them: nobody chose them by files. */
static bool scattered(const struct sk_bitfield *field)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < field->count; i++)
        runs += sk_bitfield_has(field, i) && !(i && sk_bitfield_has(field, i - 1));
    double chance = field->set * (1 - (double)field->set / field->count);
    return runs >= SCATTERED && runs * 2 >= chance;
}

/* Whether all that it holds of a torrent may be the files that it chose, and so all that it wants.
 * Of one file there is no choice; but who has most of it may have more than it told. */
static bool may_have_chosen(const struct sk_judge *judge, const struct sk_timeline_peer *peer)
{
    bool few = peer->held.set < judge->timeline->pieces / 2;
    return !(judge->config->files == 1 && few) && !scattered(&peer->held);
}

static bool may_super_seed(const struct sk_timeline_peer *peer)
{
    return !peer->listed && peer->first.set <= SHOWN_PIECES;
}

/*
 * Gains after the line were lacking at it. It has to have gained something since the line before,
 * too: who had all that he wanted, and then wants more, was honest. A seed that shows its pieces
 * one by one tells HAVEs as well: with nothing told at first they count only if it says itself that
 * it downloads.
 */
static double lacked_by_gains(const struct sk_judge *judge, const struct sk_tally *tally,
                              double after, const struct sk_reports_line *lines, uint32_t i)
{
    const struct sk_timeline_peer *peer = tally->peer;
    const struct sk_reports_line *line = &lines[i];
    double before = (double)sk_tally_bytes(tally, sk_tally_told(tally, line->at_s));
    double since = 0;
    if (i) {
        before -= (double)sk_tally_bytes(tally, sk_tally_told(tally, lines[i - 1].at_s));
        since = sk_judge_difference(lines[i - 1].downloaded, line->downloaded,
                                    sk_judge_anew(&lines[i - 1], line));
    } else if (line->downloaded != SK_ANNOUNCE_UNKNOWN)
        since = (double)line->downloaded;
    bool shows = line->left == 0 && may_super_seed(peer) && !(since * 2 >= before);
    return before > 0 && !shows ? after : 0;
}

/*
 * Of one that says to be a seed: what it never told to hold it lacks, if it cannot have gained it
 * in silence: its own counter of downloads says how much that is at most. Since a bitfield of the
 * same connection, so that no restart hides anything. Nor where it may hide what it holds, or want
 * no more.
 */
static double lacked_by_silence(const struct sk_judge *judge, const struct sk_tally *tally,
                                const struct sk_reports_line *line, const struct sk_span *span,
                                bool may_hide)
{
    const struct sk_timeline_peer *peer = tally->peer;
    bool first = peer->has_first &&
                 (peer->first_ms >= span->from_ms || peer->bitfields >= peer->watched_count);
    first = first && peer->first_ms <= line->at_s * 1e3;
    bool nothing = !peer->has_first && line->at_s - span->from_ms / 1e3 > SHOWN_S;
    if (peer->has_first && !peer->held.set)
        nothing = line->at_s - span->from_ms / 1e3 > SHOWN_S;
    if (line->left || line->downloaded == SK_ANNOUNCE_UNKNOWN || (!nothing && !first))
        return 0;
    if (!nothing && may_hide)
        return 0;
    uint32_t from = sk_tally_possible(tally, span->from_ms / 1e3);
    uint32_t to = sk_tally_told(tally, line->at_s + judge->slack_s);
    double told = (double)(sk_tally_bytes(tally, SK_MAX(from, to)) - sk_tally_bytes(tally, from));
    /* Who downloads may have had blocks of these pieces before its counter began. */
    double begun = line->downloaded ? judge->partial : 0;
    double silent = SK_MAX((double)line->downloaded + begun - told, 0.0);
    return (double)judge->timeline->size - held(tally, line->at_s + judge->slack_s) - silent;
}

/* Whether it may have lacked more than `left` bytes then, for all that it had told. */
static bool could_lack(const struct sk_judge *judge, const struct sk_tally *tally, double left,
                       double at_s)
{
    return tally->peer->first_ms > at_s * 1e3 ||
           left < (double)judge->timeline->size - held(tally, at_s) + judge->padding;
}

static void judge_line(struct sk_judge *judge, const struct sk_tally *tally, double after,
                       bool may_hide, const struct sk_reports_line *lines, uint32_t i)
{
    uint32_t index = lines[i].peer;
    struct sk_finding *findings = judge->peers[index].findings;
    const struct sk_reports_line *line = &lines[i];
    const struct sk_timeline_peer *peer = tally->peer;
    double left = (double)line->left, piece = judge->timeline->piece_size;
    double known_s = line->at_s - judge->slack_s;
    struct sk_span span;
    bool in_run = around(judge, index, lines, i, &span);
    if (peer->has_first && peer->first_ms <= known_s * 1e3 &&
        (line->event != SK_ANNOUNCE_STARTED || in_run)) {
        double most = (double)judge->timeline->size - held(tally, known_s) + judge->padding;
        bool against = left >= most + piece;
        sk_judge_note(&findings[SK_CHECK_LEFT_MORE], against, left, most, known_s, line->at_s);
        findings[SK_CHECK_LEFT_MORE].late +=
            against && could_lack(judge, tally, left - piece, known_s - SK_VERDICT_LATE_S);
    }
    if (!in_run)
        return;
    double gains = lacked_by_gains(judge, tally, after, lines, i);
    double least =
        SK_MAX(gains, lacked_by_silence(judge, tally, line, &span, may_hide)) - judge->padding;
    if (judge->counting[index] != SK_COUNTING_PIECES)
        least -= sk_judge_under_way(judge, tally, line);
    if (least > 0 || judge->tells[index])
        sk_judge_note(&findings[SK_CHECK_LEFT_LESS], left + piece <= least, left,
                      SK_MAX(least, 0.0), known_s, line->at_s);
}

void sk_judge_left(struct sk_judge *judge, uint32_t index)
{
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    struct sk_finding *findings = judge->peers[index].findings;
    struct sk_tally tally = sk_tally(judge->timeline, peer);
    const struct sk_reports_line *lines;
    struct later later = {.next = peer->gains_count};
    /* It looks at all pieces: once, however much is announced. */
    bool may_hide = may_super_seed(peer) || may_have_chosen(judge, peer);
    for (uint32_t i = sk_judge_lines(judge, index, &lines); i-- > 0 && !peer->shrank;) {
        if (lines[i].left == SK_ANNOUNCE_UNKNOWN)
            continue;
        go_back(&later, judge, &tally, &lines[i]);
        judge_line(judge, &tally, later.bytes, may_hide, lines, i);
    }
    for (enum sk_verdict_check check = SK_CHECK_LEFT_MORE; check <= SK_CHECK_LEFT_LESS; check++)
        findings[check].value = sk_judge_counts(&findings[check], check);
}

static bool is_whole(const struct sk_timeline *timeline, uint64_t left)
{
    uint64_t rest = (timeline->size - SK_MIN(left, timeline->size)) % timeline->piece_size;
    return rest == 0 || rest == timeline->size % timeline->piece_size;
}

/* Who has only a magnet link does not know what it lacks, and says a byte, or a block. */
static bool is_guess(const struct sk_timeline *timeline, const struct sk_reports_line *line)
{
    return line->left < timeline->piece_size &&
           (line->downloaded == 0 || line->event == SK_ANNOUNCE_STARTED);
}

/* Whoever counts blocks says a whole number of pieces now and then. */
static enum sk_counting counting(const struct sk_timeline *timeline,
                                 const struct sk_reports_line *lines, uint32_t count)
{
    uint32_t whole = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].left == 0 || lines[i].left >= timeline->size || is_guess(timeline, &lines[i]))
            continue;
        if (!is_whole(timeline, lines[i].left))
            return SK_COUNTING_BLOCKS;
        whole++;
    }
    return whole >= WHOLE_LEAST ? SK_COUNTING_PIECES : SK_COUNTING_UNSURE;
}

/* Whether it ever gained a piece, or lacks none. Who only lacks some may throw away what it takes,
 * as one does that measures (skep audit), plays, or has a full disk. */
static bool keeps(const struct sk_timeline_peer *peer, const struct sk_reports_line *lines,
                  uint32_t count)
{
    bool any = peer->gains_count > 0;
    for (uint32_t i = 0; i < count && !any; i++)
        any = lines[i].left == 0 ||
              (lines[i].left != SK_ANNOUNCE_UNKNOWN && lines[0].left != SK_ANNOUNCE_UNKNOWN &&
               lines[i].left != lines[0].left);
    return any;
}

void sk_judge_tells(struct sk_judge *judge, uint32_t index)
{
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    struct sk_tally tally = sk_tally(judge->timeline, peer);
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(judge, index, &lines), compared = 0, more = 0;
    double piece = judge->timeline->piece_size, size = (double)judge->timeline->size;
    judge->counting[index] = counting(judge->timeline, lines, count);
    judge->keeps[index] = keeps(peer, lines, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sk_reports_line *line = &lines[i];
        struct sk_span span;
        if (line->left == SK_ANNOUNCE_UNKNOWN || !around(judge, index, lines, i, &span))
            continue;
        double allowed = held(&tally, line->at_s + judge->slack_s) + 2 * piece;
        /* Where it has told whole numbers only, so far, it is taken for one that counts pieces:
         * that it does not tell what it holds spares it, and no blocks under way explain it. */
        if (judge->counting[index] == SK_COUNTING_BLOCKS)
            allowed += sk_judge_under_way(judge, &tally, line);
        compared++;
        more += size - (double)line->left > allowed;
    }
    bool speaks = compared || peer->haves || sk_bitfield_full(&peer->first);
    judge->tells[index] = peer->has_first && !peer->shrank && !more && speaks;
}

/* What a client that counts blocks had of pieces under way, bytes; NAN where it cannot be said, or
 * it lacks nothing: that tells nothing of who does. */
static double under_way(const struct sk_judge *judge, const struct sk_tally *tally,
                        const struct sk_reports_line *lines, uint32_t i)
{
    uint32_t index = (uint32_t)(tally->peer - judge->timeline->peers);
    struct sk_span span;
    if (!lines[i].left || lines[i].left >= judge->timeline->size ||
        !around(judge, index, lines, i, &span))
        return NAN;
    return (double)(judge->timeline->size - lines[i].left) - held(tally, lines[i].at_s);
}

int sk_judge_partial(struct sk_judge *judge)
{
    const struct sk_timeline *timeline = judge->timeline;
    double *sizes = sk_mem_alloc(((size_t)judge->reports->count + 1) * sizeof *sizes);
    uint32_t count = 0;
    if (!sizes)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        struct sk_tally tally = sk_tally(timeline, &timeline->peers[i]);
        const struct sk_reports_line *lines;
        uint32_t lines_count = sk_judge_lines(judge, i, &lines);
        bool blocks = judge->counting[i] == SK_COUNTING_BLOCKS;
        for (uint32_t k = 0; k < lines_count && judge->tells[i] && blocks; k++) {
            double size = under_way(judge, &tally, lines, k);
            if (size >= 0)
                sizes[count++] = size;
        }
    }
    qsort(sizes, count, sizeof *sizes, sk_order_doubles);
    if (count >= UNDER_WAY_LEAST) {
        double usual = sizes[(uint32_t)(UNDER_WAY_SHARE * (count - 1))];
        judge->partial = SK_MIN(judge->partial, UNDER_WAY_TIMES * usual + timeline->piece_size);
    }
    sk_mem_free(sizes);
    return 0;
}
