#include "cmd/audit_live.h"

#include "base/mem.h"
#include "cmd/live.h"
#include "cmd/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct sk_audit_live {
    struct sk_live live;
    const struct sk_report_style *style;
    double time_s;
    uint64_t bytes_before; /* for the rate of all together, over the last second or so */
    double bytes_before_s, rate_bytes_s;
    struct sk_live_peer peers[SK_LIVE_PEERS_MAX];
};

struct sk_audit_live *sk_audit_live_new(const struct sk_options *options,
                                        const struct sk_report_style *style)
{
    struct sk_screen screen;
    bool terminal = sk_terminal_look(STDERR_FILENO, &screen);
    enum sk_progress mode = sk_options_progress(options, terminal);
    struct sk_audit_live *live = mode == SK_PROGRESS_NONE ? NULL : sk_mem_calloc(1, sizeof *live);
    if (!live)
        return NULL;
    sk_live_init(&live->live, mode, &screen);
    live->style = style;
    live->time_s = options->time_s;
    return live;
}

void sk_audit_live_free(struct sk_audit_live *live)
{
    sk_mem_free(live);
}

/* Peers that are being probed, as many as fit. */
static size_t gather_peers(struct sk_audit_live *live, const struct sk_auditor *auditor,
                           uint64_t now_ns)
{
    struct sk_auditor_row row;
    size_t count = 0;
    for (size_t i = 0; count < SK_LIVE_PEERS_MAX && sk_auditor_row(auditor, i, now_ns, &row); i++) {
        if (!row.probing)
            continue;
        struct sk_live_peer *peer = &live->peers[count++];
        sk_anonymizer_endpoint(live->style->anonymizer, &row.endpoint, peer->address);
        snprintf(peer->client, sizeof peer->client, "%s", row.client);
        peer->share = row.share;
        peer->rate_bytes_s = row.rate_bytes_s;
        peer->done = row.done;
    }
    return count;
}

static double rate_of_all(struct sk_audit_live *live, const struct sk_auditor_counts *counts)
{
    double span = counts->elapsed_s - live->bytes_before_s;
    if (span >= 1) {
        live->rate_bytes_s = (double)(counts->bytes - live->bytes_before) / span;
        live->bytes_before = counts->bytes;
        live->bytes_before_s = counts->elapsed_s;
    }
    return live->rate_bytes_s;
}

void sk_audit_live_draw(struct sk_audit_live *live, const struct sk_auditor *auditor,
                        uint64_t now_ns)
{
    if (!live)
        return;
    struct sk_auditor_counts counts;
    struct sk_screen screen;
    struct sk_buf out;
    sk_auditor_counts(auditor, now_ns, &counts);
    struct sk_live_state state = {
        .elapsed_s = counts.elapsed_s,
        .limit_s = live->time_s > 0 ? live->time_s : NAN,
        .name = sk_auditor_name(auditor),
        .known = counts.known,
        .connected = counts.open,
        .measured = counts.measured,
        .failed = counts.failed,
        .untried = counts.untried,
        .seeds = counts.seeds,
        .leechers = counts.leechers,
        .delivered_bytes = counts.bytes,
        .rate_bytes_s = rate_of_all(live, &counts),
        .draws_old = counts.old_run,
        .draws_wanted = SK_STOPPING_DRAWS,
        .peers = live->peers,
    };
    memcpy(state.sources, counts.sources, sizeof state.sources);
    state.peers_count = gather_peers(live, auditor, now_ns);
    sk_terminal_look(STDERR_FILENO, &screen);
    sk_buf_init(&out, 64 << 10);
    if (!sk_live_render(&live->live, &state, &screen, &out) && out.n)
        fwrite(out.p, 1, out.n, stderr);
    sk_buf_deinit(&out);
}

void sk_audit_live_end(struct sk_audit_live *live)
{
    if (!live)
        return;
    struct sk_buf out;
    sk_buf_init(&out, 64 << 10);
    sk_live_clear(&live->live, &out);
    if (out.n)
        fwrite(out.p, 1, out.n, stderr);
    sk_buf_deinit(&out);
}
