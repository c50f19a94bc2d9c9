/* SPDX-License-Identifier: Apache-2.0 */
/* A Hub in memory behind a kn_transport: what each address answers is set by the test, and requests
 * can be made to fail. Of what is not set it knows no repository. */
#ifndef TEST_SCRIPTED_HUB_H
#define TEST_SCRIPTED_HUB_H

#include <kernels/transport.h>

#define SCRIPTED_ENDPOINT "http://hub.test"

typedef enum scripted_fault {
    SCRIPTED_CONNECT, /* refused */
    SCRIPTED_BROKEN,  /* ends in the middle of the body */
    SCRIPTED_STATUS,  /* 500 */
    SCRIPTED_GARBAGE  /* 200 and another body */
} scripted_fault;

typedef struct scripted_answer {
    char *url;
    int status;
    char *body;
    size_t length;
} scripted_answer;

typedef struct scripted_hub {
    scripted_answer answers[64];
    size_t count;
    size_t requests; /* how many there were */
    size_t fail_at;  /* the number, from 0, of the request that fails; SIZE_MAX: none */
    size_t fails;    /* how many in a row do */
    scripted_fault fault;
    size_t poll_fails;    /* the number, from 1, of the poll that fails; 0: none */
    size_t polls;         /* how many there were */
    size_t opened, freed; /* transports */
    kn_http_request waiting[64];
    size_t waiting_count;
} scripted_hub;

void scripted_hub_init(scripted_hub *hub);
void scripted_hub_clear(scripted_hub *hub);

/* `path` behind the endpoint answers 200 with `body` from now on. */
void scripted_hub_set(scripted_hub *hub, const char *path, const char *body);
/* The same of any address. */
void scripted_hub_set_url(scripted_hub *hub, const char *url, const char *body);
/* What it has so far is at another endpoint from now on. */
void scripted_hub_move(scripted_hub *hub, const char *endpoint);
/* What is there as text; the test fails where there is nothing. */
const char *scripted_hub_get(const scripted_hub *hub, const char *url);
/* A kernel with the branches main and v1 and the variant torch-cpu: metadata.json, __init__.py and
 * one more file. `depends` is the value of "kernel-depends". */
void scripted_hub_kernel(scripted_hub *hub, const char *repo_id, const char *depends);
/* A kernel that depends on nothing and has the file benchmarks/benchmark.py, too. */
void scripted_hub_benchmark(scripted_hub *hub, const char *repo_id, const char *benchmark);
/* One more build of it, which its listing has from then on. */
void scripted_hub_add_build(scripted_hub *hub, const char *repo_id, const char *variant);
/* The same as a repository of the older type. */
void scripted_hub_model(scripted_hub *hub, const char *repo_id);
/* The commit of all its branches. */
void scripted_hub_commit(const char *repo_id, char commit[65]);
/* A publisher that is trusted, or not. */
void scripted_hub_publisher(scripted_hub *hub, const char *name, bool trusted);

/* For kn_engine_options: `ctx` is the hub. */
kn_status scripted_transport_new(void *ctx, kn_transport *out, kn_error *err);

#endif
