#include "audit/download.h"

#include "base/assert.h"

#include <math.h>

/* Pieces told while we watched, and by bitfields after we had been away; and these times. */
struct split {
    uint32_t told, away;
    double watched_s, away_s;
};

/* What a peer's gains come to. */
struct tally {
    uint64_t bytes;
    /* Renewed connections apart: we went because it was silent, so what it tells afterwards, and
     * not what it told before, shows whether it tells. `all` has what all told, and other times
     * away. */
    struct split all, renewed;
    uint32_t batched; /* of those told: by a bitfield in place of HAVEs */
    bool follows;     /* no gain but when we came, or after something that we took */
};

static uint32_t end_of(const struct sk_timeline *timeline, const struct sk_watch *watch)
{
    return SK_MIN(watch->until_ms, timeline->end_ms);
}

/* A super-seeder shows a piece when we took one, and when we come. */
static bool follows(const struct sk_timeline_peer *peer, uint32_t at_ms)
{
    for (uint32_t i = 0; i < peer->taken_count; i++)
        if (at_ms >= peer->taken[i].from_ms &&
            at_ms <= peer->taken[i].until_ms + SK_DOWNLOAD_FOLLOWS_MS)
            return true;
    for (uint32_t i = 1; i < peer->watched_count; i++)
        if (at_ms >= peer->watched[i].from_ms &&
            at_ms <= peer->watched[i].from_ms + SK_DOWNLOAD_FOLLOWS_MS)
            return true;
    return false;
}

/* Whether one connection lasted through all of the time in which the piece can have been gained. */
static bool was_watched(const struct sk_timeline_peer *peer, const struct sk_gain *gain)
{
    for (uint32_t i = 0; i < peer->watched_count && gain->since_ms < gain->at_ms; i++)
        if (gain->since_ms < peer->watched[i].from_ms && gain->at_ms >= peer->watched[i].from_ms)
            return false;
    return gain->since_ms == gain->at_ms || sk_timeline_watched(peer, gain->since_ms);
}

/* Of the end of a connection, for how long what was gained then may only have been told in the next
 * one. */
static double gathered_s(const struct sk_timeline_peer *peer, const struct sk_watch *watch)
{
    uint32_t from = SK_MAX(watch->from_ms, peer->first_ms);
    return watch->until_ms > from ? fmin((watch->until_ms - from) / 1e3, SK_DOWNLOAD_GATHERED_S)
                                  : 0;
}

/* The connection in which something was told then. */
static const struct sk_watch *watch_at(const struct sk_timeline_peer *peer, uint32_t at_ms)
{
    const struct sk_watch *watch = &peer->watched[peer->watched_count - 1];
    while (watch > peer->watched && watch->from_ms > at_ms)
        watch--;
    return watch;
}

static void add_gain(const struct sk_timeline_peer *peer, const struct sk_gain *gain,
                     struct tally *tally)
{
    bool renewed = watch_at(peer, gain->at_ms)->renewed;
    if (!was_watched(peer, gain)) {
        *(renewed ? &tally->renewed.away : &tally->all.away) += 1;
        return;
    }
    tally->all.told++;
    tally->renewed.told += renewed;
    tally->batched += gain->since_ms < gain->at_ms;
}

static struct tally add_up(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    struct tally tally = {.follows = true};
    for (uint32_t i = 0; i < peer->gains_count; i++) {
        tally.bytes += sk_timeline_piece_bytes(timeline, peer->gains[i].piece);
        tally.follows = tally.follows && follows(peer, peer->gains[i].at_ms);
        add_gain(peer, &peer->gains[i], &tally);
    }
    for (uint32_t i = 0; i < peer->watched_count; i++) {
        const struct sk_watch *watch = &peer->watched[i];
        uint32_t from = SK_MAX(watch->from_ms, peer->first_ms), end = end_of(timeline, watch);
        double watched_s = end > from ? (end - from) / 1e3 : 0;
        tally.all.watched_s += watched_s;
        tally.renewed.watched_s += watch->renewed ? watched_s : 0;
        if (i && watch->from_ms > peer->first_ms)
            *(watch->renewed ? &tally.renewed.away_s : &tally.all.away_s) +=
                (watch->from_ms - watch[-1].until_ms) / 1e3 + gathered_s(peer, &watch[-1]);
    }
    return tally;
}

/* ---- who cannot be observed ---- */

/* The chance that so few of all gains fall into the time watched, if they come evenly. */
static double chance_of_few(const struct split *split)
{
    double all = split->told + split->away, sum = 0;
    double share = split->watched_s / (split->watched_s + split->away_s);
    for (double k = 0; k <= split->told; k++)
        sum += exp(lgamma(all + 1) - lgamma(k + 1) - lgamma(all - k + 1) + k * log(share) +
                   (all - k) * log1p(-share));
    return sum;
}

/* More came while we were away than can be, if the rest came while we watched. Rates vary: being
 * unlikely at an even rate is not enough. */
static bool gained_away(const struct split *split)
{
    return split->away * split->watched_s > SK_DOWNLOAD_UNEVEN * split->told * split->away_s &&
           chance_of_few(split) < SK_DOWNLOAD_CHANCE;
}

static bool has_all(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    return peer->held.set == timeline->pieces;
}

/* It says that it is done, and lacks pieces in about as many places as chance would have it. */
static bool lacks_at_random(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    double held = peer->held.set, lacks = timeline->pieces - held;
    uint32_t runs = 0;
    if (peer->upload_only != 1 || !peer->gains_count || lacks < 1)
        return false;
    for (uint32_t i = 0; i < timeline->pieces; i++)
        runs += !sk_bitfield_has(&peer->held, i) && (i == 0 || sk_bitfield_has(&peer->held, i - 1));
    return runs > lacks * (held + 1) / timeline->pieces / 2;
}

static bool super_seeds(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer,
                        const struct tally *tally)
{
    uint64_t taken = 0;
    for (uint32_t i = 0; i < peer->taken_count; i++)
        taken += peer->taken[i].bytes;
    uint64_t pieces = taken / timeline->piece_size;
    /* What it showed in one connection it does not show in the next. */
    uint64_t shown = SK_DOWNLOAD_SHOWN_MAX * (uint64_t)(peer->shrank ? peer->watched_count : 1);
    return (pieces || (peer->shrank && peer->gains_count)) && tally->follows &&
           peer->held.set <= pieces + shown;
}

static const char super_seeding[] = "super-seeds", suppressing[] = "suppresses haves";

/* Why the peer cannot be observed; NULL where it can. */
static const char *find_reason(const struct sk_timeline *timeline,
                               const struct sk_timeline_peer *peer, const struct tally *tally,
                               uint32_t ms)
{
    if (!peer->has_first || !timeline->pieces)
        return "told no pieces";
    if (peer->first.set == timeline->pieces)
        return "seed";
    if (peer->shrank && peer->haves > peer->gains_count + SK_DOWNLOAD_LAZY_MAX * peer->bitfields)
        return "lost pieces";
    if (super_seeds(timeline, peer, tally))
        return super_seeding;
    if ((!tally->batched && lacks_at_random(timeline, peer)) || gained_away(&tally->all) ||
        gained_away(&tally->renewed))
        return suppressing;
    if (!peer->gains_count)
        return tally->all.watched_s < SK_DOWNLOAD_SILENT_S ? "watched too short"
                                                           : "told of no gain";
    if (peer->gains_count < SK_DOWNLOAD_GAINS_MIN || ms < SK_DOWNLOAD_WATCH_MS)
        return "watched too short";
    return NULL;
}

/* ---- the rate ---- */

/* The longest time in which it told no gain, before the last one that it told. */
static uint32_t longest_silence(const struct sk_timeline_peer *peer)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < peer->gains_count; i++)
        longest =
            SK_MAX(longest, peer->gains[i].at_ms - (i ? peer->gains[i - 1].at_ms : peer->first_ms));
    return longest;
}

/* Until when it is known what it gained. Who gathers gains may be gathering more: by bitfields, or
 * by HAVEs that wait for each other, ten seconds in Transmission. */
static uint32_t known_until(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer,
                            const struct tally *tally)
{
    uint32_t last_ms = peer->gains[peer->gains_count - 1].at_ms;
    uint32_t end_ms = end_of(timeline, &peer->watched[peer->watched_count - 1]);
    if (has_all(timeline, peer))
        return last_ms;
    if (tally->batched)
        return peer->told_ms;
    return end_ms > last_ms && end_ms - last_ms > longest_silence(peer) ? end_ms : last_ms;
}

/* Pieces under way count when they are whole: those of the beginning, but not those of the end. */
static void fill_rate(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer,
                      const struct tally *tally, struct sk_download *download)
{
    double seconds = (download->until_ms - download->from_ms) / 1e3;
    double rate = (double)tally->bytes / seconds;
    double under_way = SK_MAX((double)timeline->piece_size * SK_DOWNLOAD_UNDER_WAY,
                              (double)SK_DOWNLOAD_UNDER_WAY_LEAST);
    double slack = under_way / seconds;
    double more = has_all(timeline, peer) ? 0.5 : 1;
    download->rate = (struct sk_rate){rate, fmax(rate - slack, 0), rate + more * slack};
    download->bytes = tally->bytes;
    download->observable = true;
}

void sk_download_estimate(const struct sk_timeline *timeline, uint32_t index,
                          struct sk_download *ret_download)
{
    SK_ASSERT(index < timeline->peers_count);
    const struct sk_timeline_peer *peer = &timeline->peers[index];
    struct sk_download download = {.rate = SK_RATE_UNKNOWN};
    struct tally tally = {0};
    if (peer->has_first && peer->watched_count)
        tally = add_up(timeline, peer);
    if (peer->gains_count) {
        download.from_ms = peer->first_ms;
        download.until_ms = SK_MAX(known_until(timeline, peer, &tally), peer->first_ms);
    }
    download.how = find_reason(timeline, peer, &tally, download.until_ms - download.from_ms);
    download.hides = download.how == super_seeding || download.how == suppressing;
    if (!download.how) {
        fill_rate(timeline, peer, &tally, &download);
        download.how =
            tally.batched || tally.all.away || tally.renewed.away ? "haves and bitfields" : "haves";
    }
    *ret_download = download;
}
