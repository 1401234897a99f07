/*
 * Load for one node of the DHT: asks it find_node and get_peers from several sockets, as fast as
 * it answers, and counts. The sockets are nodes themselves: they answer what they are asked, so
 * that the node under load has a table to tell of.
 *
 *   dht_load [-s SECONDS] [-n SOCKETS] [-w WINDOW] [-m find_node|get_peers|mixed] [-p PID] IP:PORT
 *
 * -w: queries under way of each socket. -p: the CPU time that this process took meanwhile is told
 * too. Prints one JSON object.
 */
#include "base/prng.h"
#include "wire/krpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS_MAX = 256, BATCH = 64, DATAGRAM_MAX = 2048 };

static struct sender {
    int fd;
    uint8_t id[SK_DHT_ID_SIZE];
    unsigned under_way;
    uint64_t answered_ns;
} senders[SOCKETS_MAX];

static struct load {
    double seconds;
    unsigned sockets, window;
    const char *method;
    long pid;
    struct sk_endpoint to;
    struct sk_prng prng;
    uint64_t sent, answers, errors, nodes, bytes_in, asked_us;
} load = {.seconds = 5, .sockets = 32, .window = 16, .method = "mixed"};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* CPU seconds of a process so far; 0 where none is to be watched. */
static double cpu_seconds(long pid)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    if (!pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file))
        die(path);
    fclose(file);
    const char *after = strrchr(line, ')');
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &kernel) != 2)
        die(path);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void open_sockets(void)
{
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(&load.to, &addr);
    static const int size = 4 << 20;
    for (unsigned i = 0; i < load.sockets; i++) {
        struct sender *sender = &senders[i];
        sender->fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (sender->fd < 0 || connect(sender->fd, (struct sockaddr *)&addr, len) != 0)
            die("socket");
        setsockopt(sender->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        sk_prng_bytes(&load.prng, sender->id, sizeof sender->id);
        sender->answered_ns = now_ns();
    }
}

/* One query; returns its length. */
static size_t write_query(const struct sender *sender, uint8_t *ret_bytes)
{
    bool peers = load.method[0] == 'g' || (load.method[0] == 'm' && (load.sent & 1));
    const char *head = "d1:ad2:id20:";
    const char *middle = peers ? "9:info_hash20:" : "6:target20:";
    const char *tail = peers ? "e1:q9:get_peers1:t4:" : "e1:q9:find_node1:t4:";
    uint8_t *p = ret_bytes;
    p = mempcpy(p, head, strlen(head));
    p = mempcpy(p, sender->id, SK_DHT_ID_SIZE);
    p = mempcpy(p, middle, strlen(middle));
    sk_prng_bytes(&load.prng, p, SK_DHT_ID_SIZE);
    p += SK_DHT_ID_SIZE;
    p = mempcpy(p, tail, strlen(tail));
    sk_put_u32(p, (uint32_t)load.sent++);
    p = mempcpy(p + 4, "1:y1:qe", 7);
    return (size_t)(p - ret_bytes);
}

static void fill_window(struct sender *sender)
{
    static uint8_t bytes[BATCH][DATAGRAM_MAX];
    struct iovec slots[BATCH];
    struct mmsghdr headers[BATCH] = {0};
    while (sender->under_way < load.window) {
        unsigned count = 0;
        for (; count < BATCH && sender->under_way + count < load.window; count++) {
            slots[count] = (struct iovec){bytes[count], write_query(sender, bytes[count])};
            headers[count].msg_hdr = (struct msghdr){.msg_iov = &slots[count], .msg_iovlen = 1};
        }
        int n = sendmmsg(sender->fd, headers, count, 0);
        if (n <= 0)
            return;
        sender->under_way += (unsigned)n;
    }
}

/* The node under load asks us. */
static void answer(const struct sender *sender, const struct sk_krpc *query)
{
    struct sk_krpc reply = {
        .kind = SK_KRPC_RESPONSE, .transaction = query->transaction, .id = sender->id};
    struct sk_buf buf;
    sk_buf_init(&buf, DATAGRAM_MAX);
    if (!sk_krpc_write(&buf, &reply))
        (void)send(sender->fd, buf.p, buf.n, 0);
    sk_buf_deinit(&buf);
    load.asked_us++;
}

static void take(struct sender *sender, struct sk_bytes datagram)
{
    struct sk_krpc message;
    load.bytes_in += datagram.n;

    if (sk_krpc_read(datagram, &message))
        return;
    if (message.kind == SK_KRPC_QUERY) {
        answer(sender, &message);
        return;
    }
    if (message.kind == SK_KRPC_RESPONSE) {
        load.answers++;
        load.nodes += message.nodes.n / 26 + message.nodes6.n / 38;
    } else {
        load.errors++;
    }
    sender->under_way -= sender->under_way > 0;
    sender->answered_ns = 0;
}

static void receive(struct sender *sender, uint64_t at_ns)
{
    static uint8_t bytes[BATCH][DATAGRAM_MAX];
    struct iovec slots[BATCH];
    struct mmsghdr headers[BATCH] = {0};
    for (int i = 0; i < BATCH; i++) {
        slots[i] = (struct iovec){bytes[i], DATAGRAM_MAX};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &slots[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(sender->fd, headers, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++)
        take(sender, sk_bytes(bytes[i], headers[i].msg_len));
    if (sender->answered_ns == 0)
        sender->answered_ns = at_ns;
}

static void run_until(uint64_t end_ns)
{
    struct pollfd polls[SOCKETS_MAX];
    for (unsigned i = 0; i < load.sockets; i++)
        polls[i] = (struct pollfd){.fd = senders[i].fd, .events = POLLIN};
    for (uint64_t at_ns = now_ns(); at_ns < end_ns; at_ns = now_ns()) {
        poll(polls, load.sockets, 10);
        for (unsigned i = 0; i < load.sockets; i++) {
            struct sender *sender = &senders[i];
            if (polls[i].revents)
                receive(sender, at_ns);
            if (at_ns > sender->answered_ns + 100000000u) { /* lost: others in their stead */
                sender->under_way = 0;
                sender->answered_ns = at_ns;
            }
            fill_window(sender);
        }
    }
}

static void read_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "s:n:w:m:p:")) != -1) {
        switch (option) {
        case 's':
            load.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            load.sockets = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            load.window = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            load.method = optarg;
            break;
        case 'p':
            load.pid = strtol(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (optind + 1 != argc || sk_endpoint_parse(argv[optind], 0, &load.to) || !load.sockets ||
        load.sockets > SOCKETS_MAX || !load.window) {
        fprintf(stderr, "usage: dht_load [-s SECONDS] [-n SOCKETS] [-w WINDOW] "
                        "[-m find_node|get_peers|mixed] [-p PID] IP:PORT\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    sk_prng_init(&load.prng, 1);
    open_sockets();
    run_until(now_ns() + 1000000000u); /* the node gets to know us */
    load.sent = load.answers = load.errors = load.nodes = load.bytes_in = load.asked_us = 0;
    double cpu = cpu_seconds(load.pid);
    uint64_t begun_ns = now_ns();
    run_until(begun_ns + (uint64_t)(load.seconds * 1e9));
    double seconds = (double)(now_ns() - begun_ns) / 1e9;
    cpu = cpu_seconds(load.pid) - cpu;
    printf("{\"seconds\": %.3f, \"sent\": %llu, \"answers\": %llu, \"errors\": %llu, "
           "\"nodes_told\": %llu, \"asked_us\": %llu, \"answers_per_second\": %.0f",
           seconds, (unsigned long long)load.sent, (unsigned long long)load.answers,
           (unsigned long long)load.errors, (unsigned long long)load.nodes,
           (unsigned long long)load.asked_us, (double)load.answers / seconds);
    if (load.pid)
        printf(", \"cpu_seconds\": %.2f, \"answers_per_cpu_second\": %.0f", cpu,
               cpu > 0 ? (double)load.answers / cpu : 0);
    printf("}\n");
    return 0;
}
