#include "cmd/dht_secret.h"

#include "base/bytes.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 4096 /* bytes; the longest form is a PEM of some 120 */
#define EXPANDED_SIZE 64

/* Never asks on the terminal. */
static int refuse_pass_phrase(char *buf, int size, int writing, void *ctx)
{
    return -1;
}

static const char *read_pem(const uint8_t *bytes, size_t n, uint8_t ret_seed[SK_SECRET_SIZE])
{
    const char *wrong = "no private key that can be read without a pass phrase";
    size_t size = SK_SECRET_SIZE;
    BIO *bio = BIO_new_mem_buf(bytes, (int)n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_pass_phrase, NULL) : NULL;
    if (key) {
        wrong = "a key of another kind than Ed25519";
        if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 &&
            EVP_PKEY_get_raw_private_key(key, ret_seed, &size) == 1 && size == SK_SECRET_SIZE)
            wrong = NULL;
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    return wrong;
}

/* NULL, or what is wrong. */
static const char *understand(const uint8_t *bytes, size_t n, uint8_t ret_seed[SK_SECRET_SIZE])
{
    const char *text = (const char *)bytes;
    size_t length = n;
    if (n == SK_SECRET_SIZE) {
        memcpy(ret_seed, bytes, SK_SECRET_SIZE);
        return NULL;
    }
    if (n > 11 && memcmp(bytes, "-----BEGIN ", 11) == 0)
        return read_pem(bytes, n, ret_seed);
    while (length && strchr(" \t\r\n", text[length - 1]))
        length--;
    if (sk_hex_decode(text, length, ret_seed, SK_SECRET_SIZE))
        return NULL;
    return n == EXPANDED_SIZE || length == 2 * EXPANDED_SIZE
               ? "an expanded key of 64 bytes; the seed of 32 bytes is needed"
               : "expected 32 raw bytes, 64 hexadecimal digits, or PEM";
}

static int make_file(const char *path)
{
    uint8_t seed[SK_SECRET_SIZE];
    char line[2 * SK_SECRET_SIZE + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return SK_EXIT_DONE;
    if (fd < 0) {
        sk_complain("%.400s: %s", path, strerror(errno));
        return SK_EXIT_STORAGE;
    }
    errno = 0;
    bool ok = getrandom(seed, sizeof seed, 0) == sizeof seed;
    sk_hex_encode(seed, sizeof seed, line);
    line[sizeof line - 2] = '\n';
    ok = ok && write(fd, line, sizeof line - 1) == (ssize_t)(sizeof line - 1) && fsync(fd) == 0;
    int error = errno;
    ok = close(fd) == 0 && ok;
    OPENSSL_cleanse(seed, sizeof seed);
    OPENSSL_cleanse(line, sizeof line);
    if (ok)
        return SK_EXIT_DONE;
    sk_complain("%.400s: %s", path, strerror(error ? error : EIO));
    unlink(path);
    return SK_EXIT_STORAGE;
}

static void warn_of_mode(FILE *file, const char *path)
{
    struct stat about;
    if (!fstat(fileno(file), &about) && S_ISREG(about.st_mode) && about.st_mode & 077)
        sk_complain("%.400s: others may read it (mode %03o); chmod 600 would keep it secret", path,
                    (unsigned)about.st_mode & 0777);
}

int sk_secret_read(const char *path, bool make, uint8_t ret_seed[SK_SECRET_SIZE])
{
    uint8_t bytes[FILE_MAX + 1];
    int code = make ? make_file(path) : SK_EXIT_DONE;
    if (code)
        return code;
    FILE *file = fopen(path, "rb");
    if (!file) {
        sk_complain("%.400s: %s%s", path, strerror(errno),
                    errno == ENOENT ? " (--new-secret makes one)" : "");
        return SK_EXIT_FAILED;
    }
    size_t n = fread(bytes, 1, sizeof bytes, file);
    const char *wrong = ferror(file)   ? strerror(errno)
                        : n > FILE_MAX ? "too large for a secret key"
                                       : understand(bytes, n, ret_seed);
    if (!wrong)
        warn_of_mode(file, path);
    fclose(file);
    OPENSSL_cleanse(bytes, sizeof bytes);
    if (wrong)
        sk_complain("%.400s: %s", path, wrong);
    return wrong ? SK_EXIT_FAILED : SK_EXIT_DONE;
}
