/*
 * A web seed's machine with a hostile server: files, runs, heads and bodies as the input says. Only
 * blocks that exist come out, of the run or of the file that came whole; requests stay within their
 * file and skip padding; it never turns on the spot.
 */
#include "swarm/webseed.h"

#include "base/assert.h"
#include "wire/metainfo.h"

#define PIECE (2 * SK_BLOCK_SIZE)
#define FILES_MAX 16
#define STEPS_MAX 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    const uint8_t *data;
    size_t left;
    struct sk_file files[FILES_MAX];
    struct sk_metainfo metainfo;
    struct sk_webseed seed;
    uint64_t now_ns;
};

static unsigned byte(struct fuzz *fuzz)
{
    if (!fuzz->left)
        return 0;
    fuzz->left--;
    return *fuzz->data++;
}

static uint64_t number(struct fuzz *fuzz)
{
    unsigned n = byte(fuzz);
    return n == 255 ? SK_WEBSEED_UNKNOWN : n < 128 ? n * 1000u : n * 311u;
}

static void make_files(struct fuzz *fuzz)
{
    struct sk_metainfo *m = &fuzz->metainfo;
    bool v1 = byte(fuzz) & 1;
    uint32_t count = 1 + byte(fuzz) % FILES_MAX;
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t length = byte(fuzz) * UINT64_C(997);
        if (!v1 && length)
            at = (at + PIECE - 1) / PIECE * PIECE;
        fuzz->files[i] = (struct sk_file){
            .path = "a/b c",
            .length = length,
            .offset = at,
            .flags = v1 && byte(fuzz) % 4 == 0 ? SK_FILE_PADDING : 0,
            .first_piece = length ? (uint32_t)(at / PIECE) : 0,
        };
        at += length;
    }
    *m = (struct sk_metainfo){.name = "name",
                              .has_v1 = v1,
                              .has_v2 = !v1,
                              .files = fuzz->files,
                              .files_count = count,
                              .single_file = count == 1,
                              .size = at,
                              .span = at,
                              .piece_size = PIECE,
                              .pieces = (uint32_t)((at + PIECE - 1) / PIECE)};
}

static void check_get(const struct fuzz *fuzz, const struct sk_webseed_out *out)
{
    const struct sk_file *file = &fuzz->files[fuzz->seed.file];
    SK_ASSERT(out->length > 0 && out->from + out->length <= file->length);
    SK_ASSERT(!(file->flags & SK_FILE_PADDING));
    SK_ASSERT(strncmp(out->url, "http", 4) == 0);
}

static void check_block(const struct fuzz *fuzz, const struct sk_webseed_out *out)
{
    SK_ASSERT(out->block.piece < fuzz->metainfo.pieces);
    uint32_t length = sk_metainfo_piece_length(&fuzz->metainfo, out->block.piece);
    SK_ASSERT(out->block.begin % SK_BLOCK_SIZE == 0 && out->block.begin < length);
    SK_ASSERT(out->block.length == SK_MIN((uint32_t)SK_BLOCK_SIZE, length - out->block.begin));
    unsigned sum = 0; /* all of it can be read */
    for (uint32_t i = 0; i < out->block.length; i++)
        sum += out->data[i];
    SK_ASSERT(!out->padding || sum == 0);
}

static void go_on(struct fuzz *fuzz, struct sk_bytes input)
{
    struct sk_webseed_out out;
    for (unsigned steps = 0;; steps++) {
        SK_ASSERT(steps < STEPS_MAX);
        size_t before = input.n;
        enum sk_webseed_want want = sk_webseed_next(&fuzz->seed, &input, fuzz->now_ns, &out);
        SK_ASSERT(input.n <= before);
        if (want == SK_WEBSEED_BLOCK)
            check_block(fuzz, &out);
        else if (want == SK_WEBSEED_GET)
            check_get(fuzz, &out);
        else
            break;
    }
}

static void begin(struct fuzz *fuzz)
{
    struct sk_webseed *seed = &fuzz->seed;
    fuzz->now_ns += number(fuzz) * UINT64_C(1000000);
    if (!sk_webseed_ready(seed, fuzz->now_ns))
        return;
    uint32_t first = byte(fuzz) % fuzz->metainfo.pieces;
    uint32_t last = first + byte(fuzz) % 8;
    last = SK_MIN(last, fuzz->metainfo.pieces - 1);
    sk_webseed_begin(seed, first * (uint64_t)PIECE,
                     last * (uint64_t)PIECE + sk_metainfo_piece_length(&fuzz->metainfo, last));
}

static void head(struct fuzz *fuzz)
{
    static const int statuses[] = {206, 206, 206, 200, 404, 503, 416, 304};
    const struct sk_webseed *seed = &fuzz->seed;
    const struct sk_file *file = &fuzz->files[seed->file];
    bool right = byte(fuzz) & 1;
    struct sk_webseed_head answer = {
        .status = statuses[byte(fuzz) % SK_ARRAY_LEN(statuses)],
        .first = right && seed->at >= file->offset ? seed->at - file->offset : number(fuzz),
        .total = right ? file->length : number(fuzz),
        .length = right ? SK_WEBSEED_UNKNOWN : number(fuzz),
        .retry_after_s = byte(fuzz),
        .moved = byte(fuzz) & 1,
        .url = "http://elsewhere/x",
    };
    (void)sk_webseed_head(&fuzz->seed, &answer, fuzz->now_ns);
}

static void act(struct fuzz *fuzz)
{
    static const uint8_t body[PIECE] = {1};
    struct sk_webseed *seed = &fuzz->seed;
    size_t n = 0;
    switch (byte(fuzz) % 8) {
    case 0:
        begin(fuzz);
        break;
    case 1:
        head(fuzz);
        break;
    case 2:
        sk_webseed_ended(seed, byte(fuzz) % 4 ? NULL : "an error", fuzz->now_ns);
        break;
    case 3:
        sk_webseed_stop(seed);
        break;
    case 4: /* all that is still to come */
        if (seed->request == SK_WEBSEED_READING)
            n = (size_t)SK_MIN(seed->request_end - seed->at, (uint64_t)sizeof body);
        break;
    default:
        n = byte(fuzz) * (size_t)257;
        n = SK_MIN(n, sizeof body);
        break;
    }
    go_on(fuzz, sk_bytes(body, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    fuzz = (struct fuzz){.data = data, .left = size, .now_ns = 1};
    make_files(&fuzz);
    if (!fuzz.metainfo.size)
        return 0;
    if (!sk_webseed_init(&fuzz.seed, byte(&fuzz) & 1 ? "http://h/" : "https://h/f", 0) &&
        !sk_webseed_open(&fuzz.seed, &fuzz.metainfo))
        while (fuzz.left)
            act(&fuzz);
    sk_webseed_deinit(&fuzz.seed);
    return 0;
}
