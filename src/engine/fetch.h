/* SPDX-License-Identifier: Apache-2.0 */
/* From what is wanted to a folder on disk: any number of kernels at once, with the kernels that
 * they depend on. Every stage is one step for all of them, so that its requests run side by side:
 *
 *   look     what the first-party kernels, LOCAL_KERNELS and the cache know      wants.c, look.c
 *   ask      the publisher's standing, and which commit a branch or version is   ask.c
 *   list     the files of that commit; a redirect begins again from `look`       list.c
 *   choose   the variant for this machine, and which of its files are not there  choose.c
 *   pull     what is missing, verified as it arrives                             pull.c
 *   finish   metadata, receipts, dependencies: these begin from `look`           fetch.c
 *
 * Then, with no lock held, the shared objects of the builds that were found are looked at; a want
 * whose build cannot be loaded here goes back to `choose` (check_objects.c).
 *
 * What kernels.toml changes about a want is in rules.c, whom a want asks in sources.c.
 *
 * A want that fails for the network's sake and whose last answer is in the cache begins again with
 * what is cached. Between kni_batch_open and kni_batch_close the host is called for its system, for
 * cancellation and for progress only. */
#ifndef KNI_ENGINE_FETCH_H
#define KNI_ENGINE_FETCH_H

#include <kernels/lockfile.h>
#include <kernels/prefetch.h>

#include "cache/cache.h"
#include "engine/config.h"
#include "engine/settings.h"
#include "engine/state.h"
#include "hub/endpoint.h"
#include "hub/session.h"
#include "hub/source_list.h"
#include "trust/publisher.h"

/* How far a want goes. */
typedef enum kni_depth {
    KNI_DEPTH_VARIANTS, /* which variants there are */
    KNI_DEPTH_ABOUT,    /* and the metadata of the one that fits, else of any, if it has some; not
                           what it depends on */
    KNI_DEPTH_LOCK,     /* the metadata of every variant, and what any of them depends on; nothing
                           takes it elsewhere than to its own repository (lock_project.c) */
    KNI_DEPTH_METADATA, /* and the metadata of the one that fits */
    KNI_DEPTH_FILES,    /* and all of its files */
    KNI_DEPTH_DISK      /* the same, whatever this process knows: they are looked for on the disk */
} kni_depth;

typedef enum kni_want_step {
    KNI_WANT_LOOK,
    KNI_WANT_ASK,
    KNI_WANT_LIST,
    KNI_WANT_CHOOSE,
    KNI_WANT_PULL,
    KNI_WANT_FINISH,
    KNI_WANT_DONE,
    KNI_WANT_FAILED
} kni_want_step;

typedef struct kni_want {
    const kn_alloc *alloc;

    /* what is wanted */
    kn_repo_kind kind; /* KN_REPO_LOCAL or KN_REPO_HUB */
    char *id;          /* a path, or a repository: after a redirect the one that it leads to */
    char *request;     /* "commit:<id>", "revision:main", "version:1", "specifier:>=1,<2" */
    char *display;     /* as messages name it */
    char *allowed;     /* see kni_trust_facts */
    char *user_agent;
    char *backend;
    bool is_pinned;  /* `request` is what kernels.toml says, whatever was asked for */
    char *note;      /* what kernels.toml changed, and where it says so, and which builds were
                        passed over; NULL: nothing */
    char *refusal;   /* its publisher is not trusted: why, unless its digest is; NULL: it is */
    char *lock_text; /* see kn_repo_info; NULL: nothing is locked */
    kn_lockfile *lock;
    size_t lock_index; /* of its entry in there */
    char *part;        /* the folder of the repository that is wanted, by its name; NULL: the build
                          for this machine */
    char *build;       /* the variant that is wanted; NULL: the one that fits */
    char *path;        /* the folder to look in, absolute; NULL: it is the Hub's */
    char *key;         /* of what is known in this process */
    kn_device_type device;
    kni_depth depth;
    bool refresh;
    bool cache_only; /* as the caller says */
    bool any_arch;   /* whichever GPU its build has code for */

    /* where it is */
    kni_want_step step;
    kn_status status;
    bool is_absent; /* it failed since there is no build for this machine, or none offline */
    kn_error err;
    bool offline;          /* nothing is asked for it (any more) */
    const char *go_online; /* how to change that, where the caller can; the batch's */
    kn_status net_status;  /* why, when the network failed; KN_OK: it is offline by setting */
    char *net_message;
    bool hasty;             /* it failed in a hurry, since something is cached */
    bool patient;           /* that was too little: in no hurry this time */
    size_t source;          /* whom it asks; the number of sources: there is nobody */
    char *tried;            /* what the sources before that said; NULL: it is the first */
    size_t told_source;     /* the last that is known to have been turned to for its files */
    kn_status tried_status; /* what they came to */
    char *seen;             /* repositories that redirected, one a line */
    int64_t valid_until_s;
    int64_t redirect_until_s; /* how long the redirects so far are believed */

    /* a Hub's kernel */
    kni_cache caches[2]; /* by kni_repo_type */
    kni_repo_type type;
    bool type_known;   /* by the cache, or by the Hub */
    bool type_settled; /* by the Hub, or both were tried */
    bool has_cached;   /* `cached` is what the cache has for the request */
    kni_resolution cached;
    char commit[KNI_COMMIT_MAX];
    char *ref;              /* the branch or tag; NULL: none */
    int64_t newest_version; /* of those that there are, with its commit ("": not asked) */
    char newest_commit[KNI_COMMIT_MAX];
    enum { KNI_ASK_NOTHING, KNI_ASK_REFS, KNI_ASK_REVISION } ask;
    int64_t asked_s; /* when the Hub said so, just now; 0: it was not asked */
    bool ask_trust;
    kni_answer answer;     /* what the Hub said of the publisher, to be recorded */
    const char *answer_by; /* its address */
    bool needs_lock; /* something has to be asked or pulled, which one process does at a time */
    bool is_locked;
    kni_listing listing;
    bool is_mirrored;        /* it is a mirror's own: no Hub vouches for it */
    bool is_foreign_listing; /* the mirror is asked for that of huggingface_hub */
    bool is_partial; /* it is what the snapshot has: files may be missing that nobody knows of */
    char *page;      /* the next page of the listing */
    size_t pages;
    bool is_redirect;

    /* builds that were found and cannot be loaded here (check_objects.c) */
    kni_refused_builds refused;
    char refused_commit[KNI_COMMIT_MAX]; /* whose they are */
    bool takes_refused;                  /* there are no others, and nothing is to be loaded */
    bool is_checked;                     /* its build can be loaded, as far as is known */

    /* its build for this machine, and the files of that or of `part` */
    char *variant;
    char receipt[160];
    kni_checked *files; /* paths and ids are borrowed from `listing` */
    size_t file_count;
    bool fetched;          /* some of them just now */
    char *folder;          /* of the variant, or the one that is wanted */
    kn_metadata *metadata; /* with KNI_DEPTH_METADATA, of the variant */
    kni_kernel *kernel;    /* the engine's, in the end */
    size_t *depends;       /* numbers of wants */
    size_t depend_count, depend_capacity;
} kni_want;

typedef struct kni_locking kni_locking; /* what a batch of KNI_DEPTH_LOCK works on */

/* Whom a batch can ask. */
typedef struct kni_batch_source {
    const kni_source *said; /* by kernels.toml; NULL: by the environment */
    bool is_mirror;
    const char *address;
} kni_batch_source;

typedef struct kni_batch {
    kni_run *run;
    kn_engine *engine;
    const kn_alloc *alloc;
    kni_settings settings;
    const kni_config *config;
    char go_online[320]; /* how to, where `settings` says offline */
    bool may_ask;
    bool all_builds; /* set by the caller: of every kernel of the Hub all builds are wanted */
    int64_t process;
    kni_want **wants;
    size_t count, capacity;
    kni_idle_transport *transport; /* NULL until needed */
    kni_session session;
    kni_batch_source sources[KNI_SOURCES_MAX + 1];
    kni_origin origins[KNI_SOURCES_MAX + 1]; /* the same, with their tokens */
    char *tokens[KNI_SOURCES_MAX + 1];
    size_t source_count;
    char *agent;
    struct kni_warning {
        char *text;
        kn_log_level level;
        kn_log_topic topic;
    } *warnings; /* told once the host may be called */
    size_t warning_count, warning_capacity;
    struct kni_held {
        char *path; /* of the repository's locks: what is sorted by */
        kni_cache_lock lock;
    } *held; /* the repositories that this process works on, for one pass over the stages */
    size_t held_count, held_capacity;
    bool has_looked; /* they were had after a wait and given up, to look at the cache first */
    void *left;      /* what the host's `leave` gave */
    int64_t pulled, to_pull; /* bytes */
    int64_t shown;           /* what the host was last told of them */
    int64_t life_ms;         /* when other processes were last shown that work goes on */
    kni_locking *locking;    /* NULL: no lock file is being made */
} kni_batch;

/* ---- fetch.c ---- */

/* `may_ask` false: no request is made. */
kn_status kni_batch_open(kni_run *run, bool may_ask, kni_batch *out, kn_error *err);
/* *out: its number. A want that is there already is not added again. */
kn_status kni_batch_add(kni_batch *batch, const kn_repo_info *info, kn_device_type device,
                        kni_depth depth, size_t *out, kn_error *err);
/* The same for another build of `want`'s kernel, which is wanted beside it. */
kn_status kni_batch_add_build(kni_batch *batch, const kni_want *want, const char *build,
                              kn_error *err);
/* Takes every want to its end; each has a status then. Fails as a whole for want of memory and when
 * it is cancelled. */
kn_status kni_batch_run(kni_batch *batch, kn_error *err);
void kni_batch_close(kni_batch *batch);
/* Tells the host what was worth a warning; a run does so at its end. */
void kni_batch_tell_warnings(kni_batch *batch);

/* ---- check_objects.c ---- */

/* After all wants have come to their ends, and the host may be called: where a build that was found
 * cannot be loaded here, its want is sent back for the next best one (*again). */
kn_status kni_batch_check_objects(kni_batch *batch, bool *again, kn_error *err);
/* Passes those of `variants` over that are in `builds`, a folder, and cannot be loaded here, up to
 * the first that can be. */
kn_status kni_variants_check_objects(kni_run *run, kn_variants *variants, const char *builds,
                                     kn_error *err);

/* ---- depends.c ---- */

/* After the run: a kernel that depends on one that failed has failed, too, and none may depend on
 * itself. What a want comes to is believed no longer than what it depends on. */
kn_status kni_batch_link(kni_batch *batch, kn_error *err);

/* ---- lock_project.c ---- */

/* What any build of a kernel depends on is wanted, too. */
kn_status kni_locking_add_depends(kni_batch *batch, kni_want *want, kn_error *err);

/* ---- locked.c: a kernel against the lock file that it is wanted by; KN_OK without one ---- */

/* The id that the lock file has of a file; NULL: none. Borrowed. */
const char *kni_want_locked_oid(const kni_want *want, const char *path);
/* The files of its variant, as the repository lists them. */
kn_status kni_want_check_lock(kni_batch *batch, const kni_want *want, kn_error *err);
/* That its folder has no others, where the lock file has digests of files. */
kn_status kni_want_check_locked_folder(const kni_want *want, kn_error *err);

/* ---- wants.c ---- */

kn_status kni_want_new(kni_batch *batch, const kn_repo_info *info, kn_device_type device,
                       kni_depth depth, kni_want **out, kn_error *err);
/* Another build of what `want`, whose commit is known, wants. */
kn_status kni_want_new_build(kni_batch *batch, const kni_want *want, const char *build,
                             kni_want **out, kn_error *err);
void kni_want_free(kni_want *want);
/* Whether a failure ends the whole batch, and not only the want that met it. */
bool kni_is_fatal(kn_status status);
/* Ends a want with a failure; KN_OK, or a failure of the whole batch. */
kn_status kni_want_fail(kni_want *want, kn_status status, const kn_error *cause);
/* The repository's folder in the cache. */
const kni_cache *kni_want_cache(const kni_want *want);
/* Where the Hub has no repository of the type that was assumed: the other one, once. */
bool kni_want_switch_type(kni_want *want);
/* Begins again at `look` with another repository. */
kn_status kni_want_redirect(kni_batch *batch, kni_want *want, const char *repo,
                            const char *revision, kn_error *err);
/* The folder whose files are wanted, "build/<variant>", as a copy; NULL: no memory. */
char *kni_want_inside(const kni_want *want);
/* The name of its receipt in the cache. Borrowed. */
const char *kni_want_receipt(kni_want *want);
/* Which builds it passes over. Borrowed. */
const kni_refused_builds *kni_want_refused(const kni_want *want);
/* Forgets its build: another one is to be chosen. */
void kni_want_choose_again(kni_want *want);
/* Begins again at `look`: another process may have done the work. */
void kni_want_restart(kni_want *want);
/* Begins again at `look` with what is cached, since the network failed as `want->err` says.
 * `hasty`: it was not tried for long. */
kn_status kni_want_go_offline(kni_want *want, kn_status status, bool hasty, kn_error *err);
/* Begins again at `look`, online, since what is cached is too little: in no hurry. */
void kni_want_go_online(kni_want *want);
/* What the want comes to is believed no longer than until then. */
void kni_want_believe(kni_want *want, int64_t until_s);
/* "revision:main" and so on, from what the user said; the caller frees. */
kn_status kni_request_text(const kn_alloc *alloc, const char *revision, const char *version,
                           char **out, kn_error *err);

/* Ends a want with the failure that `want->err` tells, or, where the network failed, lets it begin
 * again with what is cached. KN_OK, or a failure of the whole batch (ask.c). */
kn_status kni_want_fail_online(kni_batch *batch, kni_want *want, kn_status status, kn_error *err);

/* Where there is no build for this machine: adds to the error whether the newest version has one
 * (suggest.c). Best effort: fails for want of memory and when it is cancelled. */
kn_status kni_want_suggest(kni_batch *batch, kni_want *want, kn_error *err);

/* ---- rules.c: what kernels.toml changes ---- */

/* Which providers are asked, and which first. */
void kni_batch_apply_order(kni_batch *batch);
/* Puts what its repository is pinned to in the place of the branch, tag or version that was asked
 * for; a commit stays. */
kn_status kni_want_pin(kni_batch *batch, kni_want *want, kn_error *err);
/* KN_ERR_DENIED where it is denied by what is known of it; with `metadata` (else NULL) everything
 * is known. */
kn_status kni_want_check_denied(const kni_batch *batch, const kni_want *want,
                                const kn_metadata *metadata, kn_error *err);
/* Whether that branch or tag is denied as a version. */
bool kni_want_is_denied_ref(const kni_batch *batch, const kni_want *want, const char *ref);
/* Notes that `taken` was chosen, and not `ref`, since that is denied. KN_OK or KN_ERR_NOMEM. */
kn_status kni_want_note_denied(kni_batch *batch, kni_want *want, const char *taken,
                               const char *ref);
/* Notes that LOCAL_KERNELS would have had it. */
kn_status kni_want_note_order(kni_batch *batch, kni_want *want, kn_error *err);
/* Why its repository is trusted whatever a Hub says; NULL: it is not. */
const kni_trusted *kni_want_trusted(const kni_batch *batch, const kni_want *want);
/* KN_OK or KN_ERR_NOMEM. */
kn_status kni_want_note_trust(kni_batch *batch, kni_want *want, const kni_trusted *rule);
/* Its publisher is not trusted, as `err` says: KN_OK where the digest of its build may still be,
 * else KN_ERR_UNTRUSTED. */
kn_status kni_want_refuse(kni_batch *batch, kni_want *want, kn_error *err);
/* What became of that, once the files of its build are known. */
kn_status kni_want_check_refused(kni_batch *batch, kni_want *want, kn_error *err);

/* ---- sources.c: whom a want asks ---- */

#define KNI_MIRROR_REFS ".kernels/refs.json" /* branches and tags, in the Hub's words */

void kni_batch_find_sources(kni_batch *batch);
/* Fills in `origins`; what was read is freed with the session. */
kn_status kni_batch_read_tokens(kni_batch *batch, kn_error *err);
const kni_batch_source *kni_want_source(const kni_batch *batch, const kni_want *want);
bool kni_want_asks_mirror(const kni_batch *batch, const kni_want *want);
/* Whether a mirror's word about commits and files counts for it. */
bool kni_want_hears_mirrors(const kni_batch *batch, const kni_want *want);
/* Begins with the first source that may tell something, unless it is on its way through them. */
void kni_want_first_source(const kni_batch *batch, kni_want *want);
/* KN_ERR_UNTRUSTED where there is none. */
kn_status kni_want_need_source(const kni_batch *batch, const kni_want *want, kn_error *err);
/* Its listing is a mirror's: unless it is trusted by name its build has to be by its digest. */
kn_status kni_want_doubt_mirror(const kni_batch *batch, kni_want *want, kn_error *err);
/* Who told what the want just learnt, for a record; NULL: no memory. The caller frees. */
char *kni_want_teller(const kni_batch *batch, const kni_want *want);
bool kni_teller_is_mirror(const char *teller);
/* Whether there is another source to ask. */
bool kni_want_has_next(const kni_batch *batch, const kni_want *want);
/* Whether one try is enough: something is cached, or another source can be asked. */
bool kni_want_is_hasty(const kni_batch *batch, const kni_want *want);
/* After a failure, which `want->err` tells: begins again at `look` with the next source (*moved),
 * if there is one and it may know better. */
kn_status kni_want_next_source(kni_batch *batch, kni_want *want, kn_status status, bool *moved,
                               kn_error *err);
/* Where the last source failed, too: what all of them said, in `want->err`, and the status for it.
 */
kn_status kni_want_sum_up(const kni_batch *batch, kni_want *want, kn_status status, kn_error *err);
bool kni_is_network(kn_status status);
/* Addresses at the want's source, and of a file at any; NULL: no memory. */
char *kni_want_refs_url(const kni_batch *batch, const kni_want *want);
char *kni_want_listing_url(const kni_batch *batch, const kni_want *want);
char *kni_want_file_url(const kni_batch *batch, const kni_want *want, size_t source,
                        const char *path);
/* The next source, from `at` on, that may have the want's files; the number of sources: none. */
size_t kni_want_file_source(const kni_batch *batch, const kni_want *want, size_t at);

/* ---- directory.c ---- */

/* Makes a transfer from a mirror in a directory. */
void kni_directory_transfer(kni_batch *batch, kni_transfer *transfer);

/* ---- single.c ---- */

/* How each build variant fits this machine; the caller frees with kn_variants_free. */
kn_status kni_want_variants(const kni_batch *batch, const kni_want *want, kn_variants **out,
                            kn_error *err);

/* ---- look.c ---- */

/* Whether it ships with the library. */
bool kni_repo_is_builtin(const char *repo_id);
bool kni_want_is_builtin(const kni_want *want);
/* "cuda" for "cu130", "rocm" for "rocm64", "cpu" for "cpu". */
void kni_backend_family(const char *backend, char *out, size_t capacity);
/* The folder to look in for what is not the Hub's, as a copy; NULL: it is. */
kn_status kni_want_local_path(const kni_batch *batch, const kni_want *want, char **out,
                              kn_error *err);
/* The backends to look for a variant of; the first that has one counts. */
kn_status kni_want_backends(const kni_want *want, const kn_system *system, const char *out[2],
                            size_t *count, kn_error *err);
/* The repository's folder in the cache that the settings name; closed by the caller, also after a
 * failure. */
kn_status kni_settings_cache(const kni_settings *settings, kni_repo_type type, const char *repo_id,
                             kni_cache *out, kn_error *err);
/* The name of a listing that a bundle brought: believed while the Hub is not asked (list.c). */
#define KNI_IMPORTED_NAME 96
void kni_imported_name(const char *commit, char out[KNI_IMPORTED_NAME]);
/* ---- records.c: what the Hub said, as the cache keeps it. A cache that cannot be written is no
 * failure: then it is asked again another time ---- */

/* How long the Hub's answer to the request is believed, in seconds. */
int64_t kni_want_age_limit(const kni_batch *batch, const kni_want *want);
/* What is known of the publisher's standing. */
kn_status kni_want_trust_facts(const kni_batch *batch, const kni_want *want, kni_trust_facts *out,
                               kn_error *err);
/* Records what the Hub said of the publisher, if it did, once it is known where. */
kn_status kni_want_record_trust(kni_want *want, kn_error *err);
/* Records what the request came to, if the Hub just said so: the commit, or the repository that
 * has taken the place of this one (else NULL). */
kn_status kni_want_record_resolution(const kni_batch *batch, kni_want *want, char *redirect_repo,
                                     char *redirect_revision, kn_error *err);

/* ---- the stages: each takes every want that is at it one step on ---- */

kn_status kni_batch_look(kni_batch *batch, kn_error *err);
kn_status kni_batch_ask(kni_batch *batch, kn_error *err);
kn_status kni_batch_list(kni_batch *batch, kn_error *err);
kn_status kni_batch_choose(kni_batch *batch, kn_error *err);
kn_status kni_batch_pull(kni_batch *batch, kn_error *err);

/* Downloads `count` files of wants into their caches (pull.c). */
typedef struct kni_pull {
    kni_want *want;
    const kni_entry *entry;
    size_t source; /* the first that was not tried */
    bool there;    /* its content is in the cache, and was verified */
    kn_status status;
    kn_error err;
    int64_t idle_since_ms; /* since when somebody else has it in hand and got no further than */
    uint64_t life;         /* this; 0 for both: it was never found so */
} kni_pull;
kn_status kni_pull_files(kni_batch *batch, kni_pull *pulls, size_t count, kn_error *err);

/* ---- choose.c ---- */

#define KNI_BUILD_PREFIX "build/"

/* Byte code is never part of a build, and what a build brings by accident is never run. */
bool kni_is_bytecode(const char *path);

/* ---- prefetch.c ---- */

/* kn_engine_prefetch for a run; where nothing failed `visit` (may be NULL) sees the batch. */
typedef kn_status (*kni_prefetch_visit)(void *ctx, kni_batch *batch, kn_error *err);
kn_status kni_run_prefetch(kni_run *run, const kn_prefetch_request *request,
                           kni_prefetch_visit visit, void *ctx, kn_prefetched **out, kn_error *err);

/* ---- hold.c: one process at a time works on a repository ---- */

#define KNI_REPOSITORY_LOCK "repository" /* the name of the lock among those of its blobs */

/* Whether `want` may go on to the network; if not, it is noted to be locked before the next pass.
 */
bool kni_want_may_work(kni_want *want);
/* Gives up what is held, takes the locks of all wants that need them, and lets those begin again.
 */
kn_status kni_batch_hold(kni_batch *batch, kn_error *err);
void kni_batch_release_locks(kni_batch *batch);
/* Shows other processes that work goes on. */
void kni_batch_show_life(kni_batch *batch);

/* ---- online.c: the network, once it is needed ---- */

kn_status kni_batch_net(kni_batch *batch, const kni_net **out, kn_error *err);
/* Makes the transfers with the batch's session. */
kn_status kni_batch_transfer(kni_batch *batch, kni_transfer *const *transfers, size_t count,
                             bool impatient, kn_error *err);
bool kni_batch_is_cancelled(kni_batch *batch);
kn_status kni_batch_warn(kni_batch *batch, kn_log_topic topic, const char *format, ...)
    KN_PRINTF(3, 4);
kn_status kni_batch_tell(kni_batch *batch, kn_log_level level, kn_log_topic topic,
                         const char *format, ...) KN_PRINTF(4, 5);
void kni_batch_close_session(kni_batch *batch);
void kni_engine_transports_free(kn_engine *engine);

#endif
