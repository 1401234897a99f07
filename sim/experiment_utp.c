/*
 * uTP over one bottleneck: how soon it fills an idle one that loses packets, and how soon it makes
 * room for a TCP-like flow.
 */
#include "proto/utp/utp.h"

#include "base/assert.h"
#include "proto/utp/ledbat.h"
#include "sim/experiment.h"
#include "sim/link.h"

#include <math.h>
#include <stdio.h>

#define FULL 0.9        /* of the link's rate: what counts as filled; of it for TCP: as yielded */
#define YIELD_WITHIN 10 /* seconds */
#define ALONE 40        /* seconds that uTP has before TCP begins */
#define SAMPLE (SK_SIM_SECOND / 10)
#define SAMPLES_MAX 1200
#define TCP_PACKET 1448 /* bytes of payload */
#define TCP_HEADERS 40
#define TCP_SPAN 65536

enum { FLOW_UTP, FLOW_TCP };

/*
 * A TCP-like flow that always has something to send: Reno with selective acknowledgements. Slow
 * start, one packet a round trip, half the window once for all losses of a round trip. A packet is
 * lost when three that were sent later arrived; it is not sent again, since only the share counts.
 */
struct tcp {
    bool on;
    double window, threshold; /* packets */
    uint64_t next, highest;   /* packet to be sent; the highest that arrived */
    uint64_t recovery;        /* losses before it are of one event */
    uint64_t oldest;          /* not known to have arrived or to be lost */
    uint32_t in_flight;
    bool arrived[TCP_SPAN];
    uint64_t heard_ns;
};

struct scene {
    struct sk_sim_link there, back;
    struct sk_utp *utp[2];
    struct sk_endpoint address[2];
    struct sk_utp_conn *conn;
    struct tcp tcp;
    uint64_t now_ns;
    uint64_t utp_bytes, tcp_bytes; /* that arrived */
    uint8_t text[65536];
    const char *fault;
};

struct line {
    double rate_mbit, rtt_ms, loss, queue_ms;
    bool contested; /* a TCP-like flow begins after ALONE seconds */
};

/* ---- the TCP-like flow ---- */

static void tcp_send(struct scene *scene)
{
    struct tcp *tcp = &scene->tcp;
    while (tcp->on && tcp->in_flight < tcp->window && tcp->next - tcp->oldest < TCP_SPAN) {
        uint8_t bytes[SK_SIM_LINK_DATAGRAM] = {0};
        sk_put_u64(bytes, tcp->next);
        tcp->arrived[tcp->next++ % TCP_SPAN] = false;
        tcp->in_flight++;
        sk_sim_link_send(&scene->there, FLOW_TCP, bytes,
                         TCP_PACKET + TCP_HEADERS - SK_SIM_LINK_OVERHEAD, scene->now_ns);
    }
}

static void tcp_acked(struct scene *scene, uint64_t number)
{
    struct tcp *tcp = &scene->tcp;
    tcp->heard_ns = scene->now_ns;
    if (number < tcp->oldest || tcp->arrived[number % TCP_SPAN])
        return;
    tcp->arrived[number % TCP_SPAN] = true;
    tcp->in_flight--;
    tcp->highest = SK_MAX(tcp->highest, number);
    tcp->window += tcp->window < tcp->threshold ? 1 : 1 / tcp->window;
    for (; tcp->oldest < tcp->highest; tcp->oldest++) {
        if (tcp->arrived[tcp->oldest % TCP_SPAN])
            continue;
        if (tcp->oldest + 3 > tcp->highest)
            break;
        tcp->in_flight--;
        if (tcp->oldest >= tcp->recovery) {
            tcp->recovery = tcp->next;
            tcp->window = tcp->threshold = fmax(tcp->window / 2, 2);
        }
    }
}

/* Nothing comes any more: all that was in flight is lost. */
static void tcp_tick(struct scene *scene)
{
    struct tcp *tcp = &scene->tcp;
    if (tcp->on && tcp->in_flight && scene->now_ns - tcp->heard_ns > SK_SIM_SECOND) {
        tcp->oldest = tcp->next;
        tcp->in_flight = 0;
        tcp->threshold = fmax(tcp->window / 2, 2);
        tcp->window = 2;
        tcp->heard_ns = scene->now_ns;
    }
}

/* ---- the scene ---- */

static void utp_events(struct scene *scene, int side)
{
    struct sk_utp_event event;
    while (sk_utp_next_event(scene->utp[side], &event)) {
        if (event.kind == SK_UTP_EVENT_DATA)
            scene->utp_bytes += event.n;
        else if (event.kind == SK_UTP_EVENT_CLOSED)
            scene->fault = "the uTP connection ended";
        else if (side == 0)
            while (sk_utp_write(scene->utp[0], event.conn,
                                sk_bytes(scene->text, sizeof scene->text)) == sizeof scene->text)
                continue;
    }
}

static void utp_outputs(struct scene *scene, int side)
{
    struct sk_utp_out out;
    while (sk_utp_next_output(scene->utp[side], scene->now_ns, &out))
        sk_sim_link_send(side == 0 ? &scene->there : &scene->back, FLOW_UTP, out.bytes.p,
                         out.bytes.n, scene->now_ns);
}

static void arrive(struct scene *scene, struct sk_sim_link *link, int side)
{
    struct sk_sim_link_item *item;
    while ((item = sk_sim_link_receive(link, scene->now_ns))) {
        if (item->flow == FLOW_UTP) {
            sk_utp_input(scene->utp[side], &scene->address[!side], item->bytes, item->n,
                         scene->now_ns);
            utp_events(scene, side);
        } else if (side == 1) {
            scene->tcp_bytes += TCP_PACKET;
            sk_sim_link_send(&scene->back, FLOW_TCP, item->bytes, TCP_HEADERS, scene->now_ns);
        } else {
            tcp_acked(scene, sk_get_u64(item->bytes));
        }
    }
}

static void step(struct scene *scene)
{
    arrive(scene, &scene->there, 1);
    arrive(scene, &scene->back, 0);
    for (int side = 0; side < 2; side++) {
        if (sk_utp_deadline(scene->utp[side]) <= scene->now_ns)
            sk_utp_tick(scene->utp[side], scene->now_ns);
        do {
            utp_events(scene, side);
            utp_outputs(scene, side);
        } while (sk_utp_deadline(scene->utp[side]) == 0);
    }
    tcp_tick(scene);
    tcp_send(scene);
}

static void run_until(struct scene *scene, uint64_t end_ns)
{
    while (scene->now_ns < end_ns) {
        uint64_t next_ns =
            SK_MIN(sk_sim_link_next_ns(&scene->there), sk_sim_link_next_ns(&scene->back));
        for (int side = 0; side < 2; side++)
            next_ns = SK_MIN(next_ns, sk_utp_deadline(scene->utp[side]));
        scene->now_ns = SK_MAX(scene->now_ns, SK_MIN(next_ns, end_ns));
        step(scene);
    }
}

static double bytes_s(double mbit)
{
    return mbit * 1e6 / 8;
}

static void begin(struct scene *scene, const struct line *line, uint64_t seed)
{
    *scene = (struct scene){.now_ns = SK_SIM_START};
    const struct sk_sim_link_config there = {
        .seed = seed,
        .rate_bytes_s = bytes_s(line->rate_mbit),
        .queue_bytes = bytes_s(line->rate_mbit) * line->queue_ms / 1000,
        .delay_ns = (uint64_t)(line->rtt_ms / 2 * (double)SK_SIM_MS),
        .loss = line->loss,
    };
    const struct sk_sim_link_config back = {.seed = seed, .delay_ns = there.delay_ns};
    sk_sim_link_init(&scene->there, &there);
    sk_sim_link_init(&scene->back, &back);
    scene->tcp.window = 10;
    scene->tcp.threshold = INFINITY;
    for (int side = 0; side < 2; side++) {
        const uint8_t addr[4] = {80, 1, 1, (uint8_t)side};
        const struct sk_utp_config config = {
            .seed = seed * 2 + (uint64_t)side, .connections_max = 4, .accepts = true};
        scene->address[side] = sk_endpoint_v4(addr, 6881);
        int err = sk_utp_new(&config, scene->now_ns, &scene->utp[side]);
        SK_ASSERT(err == 0);
    }
    int err = sk_utp_connect(scene->utp[0], &scene->address[1], scene->now_ns, &scene->conn);
    SK_ASSERT(err == 0);
}

static void end(struct scene *scene)
{
    for (int side = 0; side < 2; side++)
        sk_utp_free(scene->utp[side]);
    sk_sim_link_deinit(&scene->there);
    sk_sim_link_deinit(&scene->back);
}

/* ---- what is reported ---- */

/* Bytes that arrived by the end of each sample. */
struct samples {
    uint64_t utp[SAMPLES_MAX + 1], tcp[SAMPLES_MAX + 1];
    uint32_t count;
};

static void sample(struct scene *scene, struct samples *samples, uint32_t count)
{
    for (uint32_t i = 0; i < count && !scene->fault; i++) {
        run_until(scene, scene->now_ns + SAMPLE);
        samples->count++;
        samples->utp[samples->count] = scene->utp_bytes;
        samples->tcp[samples->count] = scene->tcp_bytes;
    }
}

#define PER_SECOND (SK_SIM_SECOND / SAMPLE)

/* Mbit/s over the second that ends `s` seconds after sample `from`. */
static double mbit(const uint64_t *bytes, const struct samples *samples, uint32_t from, uint32_t s)
{
    uint32_t last = from + s * PER_SECOND;
    return last > samples->count ? NAN : (double)(bytes[last] - bytes[last - PER_SECOND]) * 8 / 1e6;
}

/* The link carries headers too: what of its rate can be payload. */
static double payload_mbit(const struct line *line)
{
    const double payload = 1472 - 20, carried = 1472 + SK_SIM_LINK_OVERHEAD;
    return line->rate_mbit * payload / carried * (1 - line->loss);
}

/* Seconds from the beginning until a whole second's rate was so high; NAN: never. */
static double time_to_fill(const struct samples *samples, const struct line *line)
{
    for (uint32_t i = PER_SECOND; i <= samples->count; i++) {
        double rate = (double)(samples->utp[i] - samples->utp[i - PER_SECOND]) * 8 / 1e6;
        if (rate >= FULL * payload_mbit(line))
            return (double)i / PER_SECOND;
    }
    return NAN;
}

/* By the gain alone, without a queue and without loss: so many round trips until the window is so
 * large. */
static double time_by_gain(const struct line *line)
{
    double window = FULL * bytes_s(line->rate_mbit) * line->rtt_ms / 1000;
    return window / SK_LEDBAT_GAIN * line->rtt_ms / 1000;
}

/* TCP's share, per cent, of what arrived between two times, in samples. */
static double tcp_share(const struct samples *samples, uint32_t from, uint32_t to)
{
    double tcp = (double)(samples->tcp[to] - samples->tcp[from]);
    double utp = (double)(samples->utp[to] - samples->utp[from]);
    return to > samples->count ? NAN : 100 * tcp / (tcp + utp);
}

/* Seconds from TCP's beginning until it had its share of a whole second; NAN: never. */
static double time_to_yield(const struct samples *samples)
{
    for (uint32_t i = (ALONE + 1) * PER_SECOND; i <= samples->count; i++)
        if (tcp_share(samples, i - PER_SECOND, i) >= 100 * FULL)
            return (double)i / PER_SECOND - ALONE;
    return NAN;
}

/* What it has on average from when it should have had its share. */
static double share_then(const struct samples *samples)
{
    return tcp_share(samples, (ALONE + YIELD_WITHIN) * PER_SECOND, 2 * ALONE * PER_SECOND);
}

static const char *judge(const struct line *line, const struct samples *samples)
{
    if (!line->contested && !(time_to_fill(samples, line) <= time_by_gain(line)))
        return "an idle link is filled later than the BEP's gain would";
    /* A shorter queue does not let such a flow fill the link even when it is alone. */
    if (line->contested && line->queue_ms >= line->rtt_ms &&
        !(time_to_yield(samples) <= YIELD_WITHIN && share_then(samples) >= 100 * FULL))
        return "a TCP-like flow does not get its share in time";
    return NULL;
}

static void print(struct sk_sim_report *report, const struct line *line,
                  const struct samples *samples, const struct scene *scene)
{
    static const uint32_t seconds[] = {1, 2, 5, 10, 20, 40};
    struct sk_utp_conn_stats stats = {0};
    uint32_t from = line->contested ? ALONE * PER_SECOND : 0;
    char name[20];
    if (!scene->fault)
        sk_utp_conn_stats(scene->conn, &stats);
    sk_sim_report_text(report, "against", line->contested ? "tcp" : "nobody");
    sk_sim_report_number(report, "mbit_s", line->rate_mbit, 0);
    sk_sim_report_number(report, "rtt_ms", line->rtt_ms, 0);
    sk_sim_report_number(report, "loss_%", 100 * line->loss, 1);
    sk_sim_report_number(report, "queue_ms", line->queue_ms, 0);
    sk_sim_report_number(report, "full_s", time_to_fill(samples, line), 1);
    sk_sim_report_number(report, "by_gain_s", time_by_gain(line), 1);
    for (size_t i = 0; i < SK_ARRAY_LEN(seconds); i++) {
        snprintf(name, sizeof name, "utp_%us", seconds[i]);
        sk_sim_report_number(report, name, mbit(samples->utp, samples, from, seconds[i]), 2);
    }
    bool contested = line->contested && !scene->fault;
    sk_sim_report_number(report, "yield_s", contested ? time_to_yield(samples) : NAN, 1);
    sk_sim_report_number(report, "tcp_share_%", contested ? share_then(samples) : NAN, 1);
    sk_sim_report_number(report, "resent_%",
                         100 * (double)stats.resent / fmax((double)stats.packets_out, 1), 2);
    sk_sim_report_number(report, "timeouts", (double)stats.timeouts, 0);
    sk_sim_report_end_row(report);
}

static const char *run_line(const struct line *line, uint64_t seed, struct sk_sim_report *report)
{
    static struct scene scene;
    static struct samples samples;
    samples = (struct samples){0};
    begin(&scene, line, seed);
    sample(&scene, &samples, ALONE * PER_SECOND);
    if (line->contested) {
        scene.tcp.on = true;
        scene.tcp.heard_ns = scene.now_ns;
        sample(&scene, &samples, ALONE * PER_SECOND);
    }
    print(report, line, &samples, &scene);
    const char *fault = scene.fault ? scene.fault : judge(line, &samples);
    for (int side = 0; side < 2 && !fault; side++)
        fault = sk_utp_fault(scene.utp[side]);
    end(&scene);
    return fault;
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    const struct line lines[] = {
        {options->rate, options->rtt_ms, options->loss, 200, false},
        {options->rate, options->rtt_ms, 0, 200, false},
        {options->rate, options->rtt_ms, options->loss, 20, false},
        {options->rate / 5, options->rtt_ms / 2, 0, 400, true},
        {options->rate / 5, options->rtt_ms / 2, 0, 200, true},
        {options->rate / 5, options->rtt_ms / 2, 0, 100, true},
        {options->rate / 5, options->rtt_ms / 2, 0, 50, true},
        {options->rate / 5, options->rtt_ms / 2, 0, 25, true},
    };
    const char *fault = NULL;
    for (size_t i = 0; i < SK_ARRAY_LEN(lines); i++) {
        const char *found = run_line(&lines[i], options->seed, report);
        fault = fault ? fault : found;
    }
    return fault;
}

const struct sk_sim_experiment sk_sim_utp = {
    .name = "utp",
    .summary = "how soon uTP fills an idle link, and makes room for a TCP-like flow",
    .defaults = {.seed = 1, .rate = 100, .rtt_ms = 100, .loss = 0.01},
    .run = run,
};
