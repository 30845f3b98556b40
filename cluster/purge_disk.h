/* cluster/purge_disk.h - the purge log's own LMDB environment, written by one thread.
 *
 * Design: docs/purge.md, "The log". Beside the cache's environment and never
 * weakened by it: default sync, the file reserved when it is made, a writer thread of its own.
 * What waits is one batch (CLUSTER_PURGE_BATCH at most), one synced transaction;
 * what arrives meanwhile is the next.
 *
 * In the order of a start:
 *   cluster_purge_log_create
 *   cluster_purge_disk_open      boot_no = the larger of the stored and the other + 1, synced
 *   (the cache opens with this boot_no and log_id, and syncs the boot_no in force)
 *   cluster_purge_disk_raise_boot  when that came out larger
 *   cluster_purge_disk_replay    every stored record with its stored number
 *   ... first request; then accept (purge_log.h) and pump, pump about once a second too
 *   cluster_purge_disk_close, cluster_purge_log_destroy
 *
 * A damaged record is skipped, counted and logged, and the floor rises to this start's first
 * number, so that everything from before is revalidated once. A damaged file is put aside
 * (data.mdb.damaged) and the log begins anew: another log_id, a larger boot_no. So is one at
 * which three starts in a row died, or in which the library met a page that cannot be.
 *
 * Thread: control, but for its writer. `home` is control's mailbox: outcomes come by it.
 * Owns: the folder (flock on "owner" in it, which also counts such starts).
 * Limits: max_bytes of file, and a sixteenth more while it is full; see purge_log.h.
 * Errors: ERR_REFUSED (the folder belongs to a running process), ERR_SYS, ERR_LIB.
 */
#pragma once

#include "base/letter.h"
#include "cluster/purge_rows.h"

#define CLUSTER_PURGE_LOG_MIN ((uint64_t)1 << 20)

struct cluster_purge_disk;
struct cluster_purge_disk_conf {
    const char *folder;     /* <data_dir>/purge-log; made when missing */
    uint64_t max_bytes;     /* purge_log.max, at least CLUSTER_PURGE_LOG_MIN */
    uint64_t other_boot_no; /* stored by the cache's environment; 0 = none */
    struct letter_mailbox *home;
    void (*written)(
        void *user); /* after the log was told the outcome of a batch; may be NULL */
    void *user;
    unsigned threads; /* 1; 0: written by cluster_purge_disk_run and close */
};
/* Loads `log`, which must outlive the disk. Every failure was logged. */
NODISCARD enum err cluster_purge_disk_open(const struct cluster_purge_disk_conf *conf,
                                           struct cluster_purge_log *log,
                                           struct cluster_purge_disk **out);
struct cluster_purge_disk_opened {
    uint8_t log_id[CLUSTER_PURGE_LOG_ID]; /* another one when the log was made anew */
    uint64_t boot_no;
    uint64_t records, corrupt;
    bool made_anew;
};
const struct cluster_purge_disk_opened *
cluster_purge_disk_opened(const struct cluster_purge_disk *d);
/* Synced before it returns; a smaller number does nothing. */
NODISCARD enum err cluster_purge_disk_raise_boot(struct cluster_purge_disk *d,
                                                 uint64_t boot_no);
/* Floors first (kind `all`, stream and seq 0), then all stored records by stream and seq: not
 * in the order of their numbers. Records are borrowed until `each` returns. */
NODISCARD enum err cluster_purge_disk_replay(struct cluster_purge_disk *d,
                                             void (*each)(void *user,
                                                          const struct cluster_purge_record *r),
                                             void *user);
/* Starts the next batch when none is out. When an outcome comes home, the next begins by
 * itself. */
void cluster_purge_disk_pump(struct cluster_purge_disk *d, int64_t now_s);
unsigned cluster_purge_disk_run(struct cluster_purge_disk *d); /* only for 0 threads */
/* Waits for the batch that is out, writes what is pending, answers it (opens `home`, so from
 * outside a letter). NULL ok. */
void cluster_purge_disk_close(struct cluster_purge_disk *d);
