/*
 * Operating errors of libskep.
 *
 * Every function of the library that can fail returns 0 (or a count) on success and one of these
 * negative values on failure; its outputs (`ret_x`) are untouched then. What a remote peer does
 * wrong is never one of these: it is counted as a verdict on that peer.
 */
#ifndef SKEP_ERR_H
#define SKEP_ERR_H

enum skep_err {
    SKEP_OK = 0,
    SKEP_ERR_NOMEM = -1,       /* an allocation failed; the object is as before the call */
    SKEP_ERR_INVALID = -2,     /* an argument, or a text given by the user, has no valid meaning */
    SKEP_ERR_MALFORMED = -3,   /* bytes from outside do not follow their format */
    SKEP_ERR_LIMIT = -4,       /* a named limit (base/limits.h) would be exceeded */
    SKEP_ERR_TRUNCATED = -5,   /* more bytes are needed */
    SKEP_ERR_NOT_FOUND = -6,   /* what was asked for is not there */
    SKEP_ERR_UNSUPPORTED = -7, /* well-formed, but of a kind that is not handled */
    SKEP_ERR_MISMATCH = -8,    /* two things that must agree do not (hashes, v1 and v2 halves) */
    SKEP_ERR_IO = -9,          /* reading or writing a file failed; errno tells why */
    SKEP_ERR_NETWORK = -10,    /* a socket, a name or a server failed */
    SKEP_ERR_TIMEOUT = -11,    /* a deadline passed */
    SKEP_ERR_CRYPTO = -12,     /* the crypto library refused (legacy provider missing, say) */
    SKEP_ERR_STATE = -13,      /* not possible in the object's present state */
    SKEP_ERR_STORE = -14,      /* the database refused */
};

/* A short English text for an error, never NULL; for unknown values "unknown error". */
const char *skep_err_text(int err);

#endif
