/* Of benchmarks/lean.c: tables, random numbers, and what comes next. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;
typedef int32_t i32;
typedef uint64_t u64;
typedef uint32_t u32;
typedef unsigned __int128 Event;

#define SECOND 1000000000ll
#define TICK_NS (2 * SECOND)
#define NEVER (-(1ll << 62))
#define LAST ((Event)1 << 126) /* an event that never comes */
enum { NOTHING = -1, OK = 200, QUEUE_FULL = 503, TOO_FEW_PODS = -1, UNCOVERED = -2 };

/* The tables, as in kpasim/engines/outcome.py. */
typedef struct { i64 sent, response, service, arrived, begun, done; i32 pod; int16_t status, activator; } Request;
typedef struct {
    i64 created, scheduled, pull, containers, listening, usable, ready, asked, gone, busy, node, type, address,
        restarts, provisioned;
} Pod;
typedef struct { i64 pool, type, created, ready, gone, added; } Node;
typedef struct { i64 at; double stable, panic; i32 ready, desired, rule; int16_t panicking, poked; } Tick;
typedef struct { i64 at; i32 desired, ready, replicas; int16_t active, mode; } Change;

/* The random numbers of a pod and of the clocks, as in kpasim/engines/params.py, and the whole of a run. */
typedef struct { i64 address, uid, kubelet, queue_proxy, poll, start; } Drawn;
typedef struct { i64 wall, tick, scrape, probe, report; } Phases;
typedef struct {
    const i64 *sent, *delay, *service;
    const Drawn *drawn;
    const Phases *phases;
    i64 load_phase, key;
    Request *requests;
    Pod *pods;
    Node *nodes;
    Tick *ticks;
    Change *changes;
    i64 request_count, pod_rows, tick_rows, change_rows;
    i64 load, end, pod_count, tick_count, change_count, concurrency; /* what it leaves */
} Run;

/* What else is known of a pod: what requests ask for, and queue-proxy's statistics of those past the activator. */
enum { STARTING, SERVING, QUIET, DRAINING, STOPPING, GONE };
enum { DEPTH = 10, QUIET_S = 30 };
typedef struct {
    i64 busy_since, last_arrival;
    i32 running, spots[2];
    int8_t phase, known, ready, waiting, head;
} State;
typedef struct { i64 changed, integral, in_use, until; double published; i32 concurrency, queue[DEPTH]; } QueueProxy;

static Run run;
static State *states;
static QueueProxy *proxies;
static i64 now, fault, made, ended, next, next_sent;
static bool finished;

/* ---- Random numbers that are drawn on the way: kpasim/engines/draws.py ---- */

static inline u32 chance(u64 index, u32 purpose) {
    u32 one = (u32)index, other = (u32)(index >> 32) ^ purpose, key = (u32)run.key;
    for (int round = 0; round < 7; round++, key += 0x9E3779B9u) {
        u64 product = (u64)one * 0xD256D193u;
        one = (u32)(product >> 32) ^ key ^ other;
        other = (u32)product;
    }
    return one;
}

/* How late things are on a busy machine, 64 at once: the compiler computes several together. */
enum { OF_TICKS, OF_SCRAPES, OF_RECONCILES, OF_STATUSES, OF_WAKES, OF_REPORTS, LATE };
enum { AT_ONCE = 64 };
static const i32 MEDIAN[LATE] = {
    CLOCK_JITTER_NS, CLOCK_JITTER_NS, API_JITTER_NS, STATUS_JITTER_NS, WAKE_NS, CLOCK_JITTER_NS,
};
static i64 late_block[LATE];
static i32 late_ns[LATE][AT_ONCE];

static __attribute__((noinline)) void draw_late(int what, i64 block) {
    u32 numbers[AT_ONCE];
    for (int place = 0; place < AT_ONCE; place++)
        numbers[place] = chance((u64)(block * AT_ONCE + place), (u32)(4 + what) << 20);
    for (int place = 0; place < AT_ONCE; place++) {
        double u = numbers[place] / 4294967296.0, medians = sqrt(u / (1.0 - u));
        late_ns[what][place] = (i32)((double)MEDIAN[what] * (medians < 100.0 ? medians : 100.0));
    }
    late_block[what] = block;
}

static inline i64 late(int what, i64 nth) {
    if (nth / AT_ONCE != late_block[what]) draw_late(what, nth / AT_ONCE);
    return late_ns[what][nth % AT_ONCE];
}

/* ---- Events ---- */

enum {
    DONE = 0, ARRIVE = 5, WAKE, REPORT, SCRAPE, TICK = 10, POKE, RECONCILE, ROLLOUT, SKS, MODE, STAGE = 17, FOUND,
    READY, VISIBLE, FORGET, DRAIN, LOAD = 24
};

static inline Event event(i64 at, i64 kind, i64 entity) { return (Event)(u64)at << 64 | (u64)(kind << 40 | entity); }
static inline i64 time_of(Event one) { return (i64)(one >> 64); }
static inline int kind_of(Event one) { return (int)((u64)one >> 40); }
static inline i64 entity_of(Event one) { return (i64)((u64)one & ((1ull << 40) - 1)); }

/* A heap with four below each event. Behind the last one stand three that never come. */
typedef struct { Event *rows; i64 size; } Heap;

static void push(Heap *heap, Event one) {
    Event *rows = heap->rows;
    i64 at = heap->size++;
    rows[at + 3] = LAST;
    for (; at && rows[(at - 1) / 4] > one; at = (at - 1) / 4) rows[at] = rows[(at - 1) / 4];
    rows[at] = one;
}

static void pop(Heap *heap) {
    Event *rows = heap->rows, last = rows[--heap->size];
    i64 size = heap->size, at = 0;
    rows[size] = LAST;
    if (!size) return;
    for (i64 child = 1; child < size; child = 4 * at + 1) {
        i64 one = child + (rows[child + 1] < rows[child]), other = child + 2 + (rows[child + 3] < rows[child + 2]);
        child = rows[other] < rows[one] ? other : one;
        if (rows[child] >= last) break;
        rows[at] = rows[child];
        at = child;
    }
    rows[at] = last;
}

/* Events of pods and controllers. Most come a fixed time after they are scheduled: a queue for each such kind, with its
   front apart. The first ones have one event ahead at most. All others stand on a heap. */
enum {
    STARTS, RECONCILES, REQUEUES, SERVICES, ROLLOUTS, MODES, FINDS, SHOWS, FORGETS, DRAINS, STOPS, OTHERS, SOURCES
};
static struct { Event *rows; u64 head, tail; } queues[OTHERS];
static u64 queue_mask;
static Event front[SOURCES], next_of_pods;
static int next_source;
static Heap others, services; /* of the second one: containers complete requests */

static inline void put(int source, Event one) { /* the only one of its source, or earlier than that */
    front[source] = one;
    if (one < next_of_pods) { next_of_pods = one; next_source = source; }
}

static inline void put_earlier(int source, Event one) { if (one < front[source]) put(source, one); }

static inline void append(int source, Event one) {
    if (front[source] == LAST) put(source, one);
    else queues[source].rows[queues[source].tail++ & queue_mask] = one;
}

static void schedule(Event one) { push(&others, one); put(OTHERS, others.rows[0]); }

static i64 next_start;

static Event next_of_starts(void) { /* starts take equally long, so they end in the order of creation */
    while (next_start < made && states[next_start].phase != STARTING) next_start++;
    return next_start == made ? LAST : event(run.pods[next_start].created + run.drawn->start, STAGE, next_start);
}

static void take_next_of_pods(void) {
    int source = next_source;
    if (source == OTHERS) { pop(&others); front[OTHERS] = others.rows[0]; }
    else if (source == STARTS) { next_start++; front[STARTS] = next_of_starts(); }
    else if (queues[source].head == queues[source].tail) front[source] = LAST;
    else front[source] = queues[source].rows[queues[source].head++ & queue_mask];
    next_of_pods = LAST;
    for (source = 0; source < SOURCES; source++)
        if (front[source] < next_of_pods) { next_of_pods = front[source]; next_source = source; }
}

/* Arrivals at the gateway and woken requests: few at a time, the first one last. Row 0 never comes. */
enum { SOON = 4096 };
static Event soon[SOON];
static i64 soon_last;

static void put_soon(Event one) {
    i64 at = soon_last++;
    if (soon_last == SOON - 1) { fault = UNCOVERED; soon_last--; }
    for (; soon[at] < one; at--) soon[at + 1] = soon[at];
    soon[at + 1] = one;
}

/* The clocks of activator, scraper and decider. */
static Event report_due, scrape_due, tick_due;

static i64 nth_due(int what, i64 phase, i64 period, i64 nth) {
    i64 jitter = late(what, nth);
    return phase + nth * period + (jitter < period / 2 ? jitter : period / 2);
}

static i64 due_after(int what, i64 phase, i64 period, i64 time) {
    i64 nth = (time - phase) / period, due = nth_due(what, phase, period, nth);
    return due > time ? due : nth_due(what, phase, period, nth + 1);
}

static i64 due_next(int what, i64 phase, i64 period) {
    return nth_due(what, phase, period, (now - phase) / period + 1);
}
