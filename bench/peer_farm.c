/*
 * peer_farm: thousands of cheap BitTorrent peers in one process, for benchmarks.
 *
 * One listening socket on 0.0.0.0 takes connections to every address of 127.0.0.0/8; the local
 * address of a connection says which peer was meant. Each peer answers the handshake (BEP 3) with
 * a peer id and a bitfield that follow from its address and the seed, then stays connected and
 * silent. With --serve every peer is a seed that unchokes whoever is interested and sends the
 * blocks that are asked for, all zeros, as fast as the socket takes them.
 *
 * It shares no code with skep, so that neither side of a benchmark is measured against itself, and
 * it is one thread that sleeps in epoll, so that it leaves the other core to the program measured.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    HANDSHAKE_LEN = 68,
    BLOCK_MAX = 16384,
    PIECES_MAX = 1 << 20,
    FDS_MAX = 20000,
    REQUESTS_MAX = 8192, /* a power of two: asked for and not yet written, one connection */
    IOV_MAX_USED = 128,
    EVENTS_MAX = 256,
    MESSAGE_LEN_MAX = 1 << 17, /* a reader may send its bitfield; nothing longer is understood */
    INPUT_MAX = 1 << 18,
    PEERS_A_BYTE = 250, /* no address ends in 0 or 255 */
};

enum { MSG_CHOKE, MSG_UNCHOKE, MSG_INTERESTED, MSG_BITFIELD = 5, MSG_REQUEST, MSG_PIECE };

struct request {
    uint32_t piece;
    uint32_t begin;
    uint32_t length;
};

/* What only a serving connection needs: the bytes not yet parsed and the answers not yet written.
 */
struct server {
    uint8_t input[INPUT_MAX];
    size_t input_len;
    struct request queue[REQUESTS_MAX];
    uint32_t head, tail; /* queue is [head, tail), indices modulo REQUESTS_MAX */
    size_t head_written; /* bytes of the first queued answer that were written */
    bool unchoked;
    bool wants_write;
};

struct conn {
    uint8_t handshake[HANDSHAKE_LEN];
    uint8_t handshake_len; /* HANDSHAKE_LEN: answered */
    struct server *server;
};

struct options {
    uint8_t info_hash[20];
    uint16_t port;
    uint32_t pieces;
    uint64_t seed;
    uint32_t list;
    unsigned seconds_max;
    bool extension;
    bool serve;
};

struct totals {
    uint64_t accepted;
    uint64_t open, open_max; /* connections at a time */
    uint64_t answered;
    uint64_t bytes_served;
    uint64_t first_request_ns;
    uint64_t last_block_ns;
};

static struct conn conns[FDS_MAX];
static struct totals totals;
static struct options opt = {.pieces = 4096, .seed = 1, .seconds_max = 600};
static int epoll_fd;
static volatile sig_atomic_t stop_wanted;

static void die(const char *what)
{
    fprintf(stderr, "peer_farm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void put_u32(uint8_t *out, uint32_t v)
{
    v = htonl(v);
    memcpy(out, &v, 4);
}

static uint32_t get_u32(const uint8_t *in)
{
    uint32_t v;
    memcpy(&v, in, 4);
    return ntohl(v);
}

/* 127.1.1.1, 127.1.1.2, ... in host order. */
static uint32_t peer_address(uint32_t index)
{
    uint32_t last = 1 + index % PEERS_A_BYTE;
    uint32_t third = 1 + index / PEERS_A_BYTE % PEERS_A_BYTE;
    uint32_t second = 1 + index / (PEERS_A_BYTE * PEERS_A_BYTE);
    return 127u << 24 | second << 16 | third << 8 | last;
}

/* The bitfield of the peer at `address`: each peer draws its own density between 1/16 and 15/16,
 * then each piece. A serving peer has everything. Returns the number of pieces held. */
static uint32_t make_bitfield(uint32_t address, uint8_t *out)
{
    uint64_t state = opt.seed << 32 ^ address;
    uint32_t threshold = 0x1000 + splitmix64(&state) % 0xe000;
    uint32_t held = 0;
    memset(out, 0, (opt.pieces + 7) / 8);
    for (uint32_t piece = 0; piece < opt.pieces; piece += 4) {
        uint64_t draw = splitmix64(&state);
        for (uint32_t i = 0; i < 4 && piece + i < opt.pieces; i++, draw >>= 16) {
            if (opt.serve || (draw & 0xffff) < threshold) {
                out[(piece + i) / 8] |= (uint8_t)(0x80 >> (piece + i) % 8);
                held++;
            }
        }
    }
    return held;
}

static void list_peers(void)
{
    static uint8_t bitfield[PIECES_MAX / 8];
    for (uint32_t i = 0; i < opt.list; i++) {
        struct in_addr address = {.s_addr = htonl(peer_address(i))};
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &address, text, sizeof text);
        printf("%s:%u %" PRIu32 "\n", text, opt.port, make_bitfield(peer_address(i), bitfield));
    }
}

static void conn_close(int fd)
{
    totals.open--;
    free(conns[fd].server);
    conns[fd] = (struct conn){0};
    close(fd);
}

/* Handshake, extension handshake where wanted (BEP 10), bitfield: one write. The socket buffer of
 * a fresh connection takes it whole, so a short write is a fault worth ending the run for. */
static void conn_answer(int fd)
{
    static const char extension[] = "d1:md11:ut_metadatai2e6:ut_pexi1ee1:v8:farm 1.0e";
    static uint8_t out[HANDSHAKE_LEN + 6 + sizeof extension + 5 + PIECES_MAX / 8];
    struct sockaddr_in local;
    socklen_t local_len = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &local_len) != 0)
        die("getsockname");
    uint32_t address = ntohl(local.sin_addr.s_addr);

    memset(out, 0, HANDSHAKE_LEN);
    memcpy(out,
           "\x13"
           "BitTorrent protocol",
           20);
    out[25] = opt.extension ? 0x10 : 0;
    memcpy(out + 28, opt.info_hash, 20);
    snprintf((char *)out + 48, 21, "-FM1000-%08" PRIx32 "farm", address);
    size_t len = HANDSHAKE_LEN;
    if (opt.extension) {
        put_u32(out + len, 2 + sizeof extension - 1);
        out[len + 4] = 20;
        out[len + 5] = 0;
        memcpy(out + len + 6, extension, sizeof extension - 1);
        len += 6 + sizeof extension - 1;
    }
    uint32_t bitfield_len = (opt.pieces + 7) / 8;
    put_u32(out + len, 1 + bitfield_len);
    out[len + 4] = MSG_BITFIELD;
    make_bitfield(address, out + len + 5);
    len += 5 + bitfield_len;
    ssize_t written = send(fd, out, len, MSG_NOSIGNAL);
    if (written < 0) {
        conn_close(fd);
        return;
    }
    if ((size_t)written != len)
        die("short write of a bitfield");
    totals.answered++;
    if (opt.serve) {
        conns[fd].server = calloc(1, sizeof *conns[fd].server);
        if (!conns[fd].server)
            die("calloc");
    }
}

/* Writes queued answers until the queue or the socket's room ends. Returns false where the
 * connection broke. */
static bool server_write(int fd, struct server *s)
{
    static const uint8_t zeros[BLOCK_MAX];
    static uint8_t headers[IOV_MAX_USED / 2][13];
    while (s->head != s->tail) {
        struct iovec iov[IOV_MAX_USED];
        int n = 0;
        for (uint32_t i = s->head; i != s->tail && n < IOV_MAX_USED; i++) {
            const struct request *r = &s->queue[i % REQUESTS_MAX];
            uint8_t *header = headers[n / 2];
            put_u32(header, 9 + r->length);
            header[4] = MSG_PIECE;
            put_u32(header + 5, r->piece);
            put_u32(header + 9, r->begin);
            size_t skip = i == s->head ? s->head_written : 0;
            size_t header_skip = skip < 13 ? skip : 13;
            iov[n++] = (struct iovec){header + header_skip, 13 - header_skip};
            iov[n++] = (struct iovec){(void *)zeros, r->length - (skip - header_skip)};
        }
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t written = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (written < 0)
            return errno == EAGAIN;
        s->head_written += (size_t)written;
        while (s->head != s->tail) {
            size_t answer_len = 13 + s->queue[s->head % REQUESTS_MAX].length;
            if (s->head_written < answer_len)
                break;
            s->head_written -= answer_len;
            totals.bytes_served += answer_len - 13;
            s->head++;
        }
        totals.last_block_ns = now_ns();
    }
    return true;
}

static bool server_message(int fd, struct server *s, const uint8_t *msg, uint32_t len)
{
    if (len == 0)
        return true;
    if (msg[0] == MSG_INTERESTED && !s->unchoked) {
        static const uint8_t unchoke[] = {0, 0, 0, 1, MSG_UNCHOKE};
        s->unchoked = true;
        return send(fd, unchoke, sizeof unchoke, MSG_NOSIGNAL) == sizeof unchoke;
    }
    if (msg[0] != MSG_REQUEST || len != 13)
        return true;
    struct request r = {get_u32(msg + 1), get_u32(msg + 5), get_u32(msg + 9)};
    if (r.length > BLOCK_MAX || s->tail - s->head == REQUESTS_MAX) {
        fprintf(stderr, "peer_farm: a request too long or one too many; connection closed\n");
        return false;
    }
    if (totals.first_request_ns == 0)
        totals.first_request_ns = now_ns();
    s->queue[s->tail++ % REQUESTS_MAX] = r;
    return true;
}

/* Parses what is whole in the input and keeps the rest. */
static bool server_parse(int fd, struct server *s)
{
    size_t at = 0;
    while (s->input_len - at >= 4) {
        uint32_t len = get_u32(s->input + at);
        if (len > MESSAGE_LEN_MAX)
            return false;
        if (s->input_len - at - 4 < len)
            break;
        if (!server_message(fd, s, s->input + at + 4, len))
            return false;
        at += 4 + (size_t)len;
    }
    memmove(s->input, s->input + at, s->input_len - at);
    s->input_len -= at;
    return true;
}

static bool server_read(int fd, struct server *s)
{
    ssize_t n = recv(fd, s->input + s->input_len, INPUT_MAX - s->input_len, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    s->input_len += (size_t)n;
    return server_parse(fd, s);
}

/* A socket that is full is waited for; one that is not need not wake us. */
static void server_arm(int fd, struct server *s)
{
    bool wants_write = s->head != s->tail;
    if (wants_write == s->wants_write)
        return;
    struct epoll_event ev = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &ev) != 0)
        die("epoll_ctl");
    s->wants_write = wants_write;
}

static void conn_serve(int fd, uint32_t events)
{
    struct server *s = conns[fd].server;
    bool alive = !(events & ~(uint32_t)EPOLLOUT) || server_read(fd, s);
    if (!alive || !server_write(fd, s)) {
        conn_close(fd);
        return;
    }
    server_arm(fd, s);
}

static void conn_handshake(int fd)
{
    struct conn *c = &conns[fd];
    ssize_t n = recv(fd, c->handshake + c->handshake_len, HANDSHAKE_LEN - c->handshake_len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_close(fd);
        return;
    }
    c->handshake_len += (uint8_t)n;
    if (c->handshake_len < HANDSHAKE_LEN)
        return;
    if (memcmp(c->handshake + 28, opt.info_hash, 20) != 0) {
        conn_close(fd);
        return;
    }
    conn_answer(fd);
}

/* A silent peer reads what it is sent and forgets it. */
static void conn_discard(int fd)
{
    static uint8_t scratch[65536];
    ssize_t n = recv(fd, scratch, sizeof scratch, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        conn_close(fd);
}

static void conn_ready(int fd, uint32_t events)
{
    if (conns[fd].handshake_len < HANDSHAKE_LEN) {
        conn_handshake(fd);
    } else if (conns[fd].server) {
        conn_serve(fd, events);
    } else {
        conn_discard(fd);
    }
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            die("accept");
        }
        if (fd >= FDS_MAX) {
            fprintf(stderr, "peer_farm: too many connections\n");
            exit(1);
        }
        /* Whoever hangs up gets a reset: thousands of connections in TIME_WAIT would hold ports
         * that the next run needs. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        int on = 1;
        if (opt.serve)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
            die("epoll_ctl");
        totals.accepted++;
        totals.open++;
        if (totals.open > totals.open_max)
            totals.open_max = totals.open;
    }
}

static int listen_any(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
    socklen_t len = sizeof any;
    if (bind(fd, (struct sockaddr *)&any, len) != 0)
        die("bind");
    if (listen(fd, 65535) != 0)
        die("listen");
    if (getsockname(fd, (struct sockaddr *)&any, &len) != 0)
        die("getsockname");
    opt.port = ntohs(any.sin_port);
    return fd;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_wanted = 1;
}

/* The farm ends on SIGTERM, on SIGINT, when its parent dies and when its time is over. */
static void arrange_end(void)
{
    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    alarm(opt.seconds_max);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max < FDS_MAX ? limit.rlim_max : FDS_MAX;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
}

static void print_totals(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                   (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    double serve_s = (double)(totals.last_block_ns - totals.first_request_ns) / 1e9;
    printf("{\"accepted\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"open_max\": %" PRIu64
           ", \"cpu_s\": %.6f, \"bytes_served\": %" PRIu64 ", \"serve_s\": %.6f}\n",
           totals.accepted, totals.answered, totals.open_max, cpu_s, totals.bytes_served, serve_s);
}

static void run(void)
{
    arrange_end();
    raise_fd_limit();
    int listener = listen_any();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1");
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev) != 0)
        die("epoll_ctl");
    printf("ready %u\n", opt.port);
    fflush(stdout);
    while (!stop_wanted) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                accept_all(listener);
            } else {
                conn_ready(events[i].data.fd, events[i].events);
            }
        }
    }
    print_totals();
}

static void parse_info_hash(const char *hex)
{
    for (int i = 0; i < 20; i++) {
        unsigned byte;
        if (sscanf(hex + (size_t)2 * i, "%2x", &byte) != 1) {
            fprintf(stderr, "peer_farm: --info-hash wants 40 hexadecimal digits\n");
            exit(2);
        }
        opt.info_hash[i] = (uint8_t)byte;
    }
}

static void usage(void)
{
    fputs("usage: peer_farm --info-hash HEX [--port N] [--pieces N] [--seed N] [--extension]\n"
          "                 [--serve] [--time SECONDS]\n"
          "       peer_farm --list PEERS --port N [--pieces N] [--seed N]\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"info-hash", required_argument, NULL, 'i'},
        {"port", required_argument, NULL, 'p'},
        {"pieces", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},
        {"list", required_argument, NULL, 'l'},
        {"time", required_argument, NULL, 't'},
        {"extension", no_argument, NULL, 'x'},
        {"serve", no_argument, NULL, 'S'},
        {NULL, 0, NULL, 0},
    };
    const char *info_hash = NULL;
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (c) {
        case 'i':
            info_hash = optarg;
            break;
        case 'p':
            opt.port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            opt.pieces = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            opt.seed = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            opt.list = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            opt.seconds_max = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            opt.extension = true;
            break;
        case 'S':
            opt.serve = true;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || opt.pieces == 0 || opt.pieces > PIECES_MAX)
        usage();
    if (opt.list) {
        list_peers();
        return 0;
    }
    if (!info_hash)
        usage();
    parse_info_hash(info_hash);
    run();
    return 0;
}
