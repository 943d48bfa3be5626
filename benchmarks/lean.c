/* The loads `headline`, `50 a second` and `500 a second` of benchmarks/shapes.py, as one loop written by hand.

   It leaves the tables of kpasim.engines.compiled.run, bit for bit, from the same random numbers: benchmarks/lean.py
   compiles it with the settings as numbers (-DTARGET_VALUE=0.7 ...), compares all tables and times both. What these
   loads do not have is left out: other containerConcurrency than 1, several activators, minimum and maximum of pods,
   closed loops, sessions, timeouts, restarts, nodes for several pods. A run that meets such a thing ends as UNCOVERED.

   Times are nanoseconds since the creation of the revision. An event is one number, time << 64 | kind << 40 | entity:
   comparing two gives the order of kpasim/engines/clock.py. */
#include "lean_events.h"
#include "lean_views.h"

/* ---- The revision's objects: PodAutoscaler, Deployment, ServerlessService ---- */

enum { UNKNOWN, TRUE, FALSE, ABSENT };
enum { NO_REASON, QUEUED, NO_TRAFFIC, TIMED_OUT };
enum { SERVE, PROXY };
static struct { /* as they are; what the latest decision was; what of the status was written last */
    i64 replicas, ready, alive, active_since, backed_since, status_desired, shown_desired, reconciles, writes, desired;
    double excess;
    int active, reason, initialized, asked_mode, public_mode, backed;
    i64 seen_desired;
    int seen_active, seen_reason, seen_initialized;
    Change latest;
} revision;

static i64 stamp(void) { return now - (now + run.phases->wall) % SECOND; } /* conditions keep whole seconds */

static void settle(void) { finished |= ended == run.request_count && revision.replicas == 0 && revision.alive == 0; }

static void record_change(void) {
    Change *was = &revision.latest;
    if (revision.shown_desired == was->desired && revision.ready == was->ready && revision.replicas == was->replicas &&
        revision.active == was->active && revision.asked_mode == was->mode) return;
    *was = (Change){
        now, revision.shown_desired, revision.ready, revision.replicas, revision.active, revision.asked_mode,
    };
    if (run.change_count == run.change_rows) fault = UNCOVERED;
    else run.changes[run.change_count++] = *was;
}

static void enqueue(void) { /* reconcile soon; an earlier one is kept */
    put_earlier(RECONCILES, event(now + RECONCILE_NS + late(OF_RECONCILES, ++revision.reconciles), RECONCILE, 0));
}

static void enqueue_service(void) { put(SERVICES, event(now, SKS, 0)); }

/* No pod is wanted (kpasim/policy/scaler.py, scale_to_zero): what is wanted instead, and when to look again. */
static i64 scale_to_zero(bool *apply, i64 *requeue) {
    i64 age = now - revision.active_since, proxy_for = revision.backed ? now - revision.backed_since : 0;
    *apply = false;
    if (revision.active == UNKNOWN || revision.active == ABSENT) {
        *requeue = PROGRESS_DEADLINE_NS + 30 * SECOND;
        return -1;
    }
    if (revision.active == TRUE) {
        *apply = age < STABLE_WINDOW_S * SECOND;
        if (*apply) *requeue = STABLE_WINDOW_S * SECOND - age;
        else if (revision.asked_mode == PROXY) *requeue = 3 * SECOND;
        return *apply;
    }
    if (revision.public_mode != PROXY) fault = UNCOVERED; /* it would be probed whether the activator is in the path */
    *apply = age >= GRACE_NS || proxy_for >= GRACE_NS;
    if (!*apply) *requeue = GRACE_NS - proxy_for;
    return 0;
}

static void on_status_written(void) {
    revision.shown_desired = revision.status_desired;
    enqueue();
    record_change();
}

static void reconcile(void) {
    bool is_new = revision.active == UNKNOWN || revision.active == ABSENT, enough = revision.ready >= 1;
    bool apply = revision.desired >= 0 || is_new;
    i64 want = revision.desired, requeue = -1;
    if (apply && want <= 0) want = scale_to_zero(&apply, &requeue);
    if (requeue >= 0) put_earlier(REQUEUES, event(now + requeue, RECONCILE, 1));
    if (apply && want != revision.replicas) {
        revision.replicas = want;
        append(ROLLOUTS, event(now + ROLLOUT_NS, ROLLOUT, 0));
    }
    int mode = want > 0 && revision.excess >= 0.0 ? SERVE : PROXY, active = FALSE, reason = NO_TRAFFIC;
    if (mode != revision.asked_mode) { revision.asked_mode = mode; enqueue_service(); }
    if (want == 0 && is_new) reason = TIMED_OUT;
    if (want != 0) { active = enough ? TRUE : UNKNOWN; reason = enough ? NO_REASON : QUEUED; }
    revision.initialized |= enough;
    if (active != revision.active || reason != revision.reason) revision.active_since = stamp();
    revision.active = active;
    revision.reason = reason;
    if (want != -1 || revision.status_desired < 0) revision.status_desired = want;
    if (revision.seen_active != active || revision.seen_reason != reason ||
        revision.seen_initialized != revision.initialized || revision.seen_desired != revision.status_desired) {
        revision.seen_active = active;
        revision.seen_reason = reason;
        revision.seen_initialized = revision.initialized;
        revision.seen_desired = revision.status_desired;
        i64 wait = late(OF_STATUSES, ++revision.writes);
        if (wait) schedule(event(now + wait, RECONCILE, 3));
        else on_status_written();
    }
    record_change();
    if (active == TRUE && run.load == NEVER) { /* the load begins at its phase between two ticks */
        i64 before = now + START_FOR_NS - 1;
        run.load = before + TICK_NS - (before - run.load_phase) % TICK_NS;
        schedule(event(run.load, LOAD, 0));
    }
}

static void on_service_due(void) { /* the public endpoints are pods, or the activator */
    bool backed = revision.asked_mode == PROXY || revision.ready == 0;
    int mode = revision.ready == 0 ? PROXY : revision.asked_mode;
    if (backed && !revision.backed) revision.backed_since = stamp();
    revision.backed = backed;
    if (mode == revision.public_mode) return;
    revision.public_mode = mode;
    append(MODES, event(now + ENDPOINTS_TO_INGRESS_NS, MODE, mode == SERVE));
    enqueue();
}

/* ---- The autoscaler: two windows of seconds, and a decision every two seconds ---- */

typedef struct { i64 first, last; double total, seconds[STABLE_WINDOW_S]; } Window;
static Window stable, panic;
static i64 panic_since, most_in_panic;

static inline void record(Window *window, int size, i64 second, double value) {
    double *bucket = window->seconds + second % size;
    if (second - window->last >= size) {
        *window = (Window){second, second, 0.0, {0.0}};
    } else {
        for (i64 skipped = window->last + 1; skipped <= second; skipped++) {
            window->total -= window->seconds[skipped % size];
            window->seconds[skipped % size] = 0.0;
        }
        window->last = second;
    }
    *bucket += value;
    window->total += value;
}

static inline double average(const Window *window, int size, i64 second) {
    i64 silent = second - window->last, seen = window->last - window->first + 1;
    if (silent >= size) return 0.0;
    double total = window->total;
    for (i64 other = window->last + 1; other <= second; other++) total -= window->seconds[other % size];
    double mean = total / (double)(seen < size - silent ? seen : size - silent);
    double scaled = fabs(mean * 1e6), whole = floor(scaled); /* to six decimals */
    return copysign((scaled - whole >= 0.5 ? whole + 1.0 : whole) / 1e6, mean);
}

static void observe(double concurrency) {
    i64 second = (now + run.phases->wall) / SECOND;
    record(&stable, STABLE_WINDOW_S, second, concurrency);
    record(&panic, PANIC_WINDOW_S, second, concurrency);
}

enum { BY_STABLE, BY_PANIC, UP_RATE, DOWN_RATE, HELD = 5 };

static inline i64 wanted(i64 pods, i64 least, i64 most, int own, int *rule) {
    *rule = own;
    if (pods < least) { pods = least; *rule = DOWN_RATE; }
    if (pods > most) { pods = most; *rule = UP_RATE; }
    return pods;
}

static bool decide(bool poked) {
    i64 wall = now + run.phases->wall, second = wall / SECOND, ready = revision.ready > 1 ? revision.ready : 1;
    if (second - stable.last > STABLE_WINDOW_S) return false; /* nothing is known */
    double by_stable = average(&stable, STABLE_WINDOW_S, second), by_panic = average(&panic, PANIC_WINDOW_S, second);
    i64 most = (i64)ceil(MAX_SCALE_UP_RATE * (double)ready), least = (i64)floor((double)ready / MAX_SCALE_DOWN_RATE);
    i64 raw_panic = (i64)ceil(by_panic / TARGET_VALUE);
    int rule, panic_rule;
    i64 desired = wanted((i64)ceil(by_stable / TARGET_VALUE), least, most, BY_STABLE, &rule);
    i64 in_panic = wanted(raw_panic, least, most, BY_PANIC, &panic_rule);
    if ((double)raw_panic / (double)ready >= PANIC_THRESHOLD) panic_since = wall;
    else if (panic_since != NEVER && panic_since + STABLE_WINDOW_S * SECOND < wall) {
        panic_since = NEVER;
        most_in_panic = 0;
    }
    if (panic_since != NEVER) {
        if (in_panic > desired) { desired = in_panic; rule = panic_rule; }
        if (desired >= most_in_panic) most_in_panic = desired;
        else { desired = most_in_panic; rule = HELD; }
    }
    double excess = floor((double)revision.ready * TOTAL_VALUE - TARGET_BURST_CAPACITY - by_panic);
    if (run.tick_count == run.tick_rows) { fault = UNCOVERED; return false; }
    run.ticks[run.tick_count++] = (Tick){
        now, by_stable, by_panic, revision.ready, desired, rule, panic_since != NEVER, poked,
    };
    if (desired != revision.desired || (excess < 0.0) != (revision.excess < 0.0)) enqueue();
    revision.desired = desired;
    revision.excess = excess;
    return true;
}

static void on_tick(void) {
    tick_due = decide(false) ? event(due_next(OF_TICKS, run.phases->tick, TICK_NS), TICK, 0) : LAST;
}

static void wake_tick(i64 time) {
    if (tick_due == LAST) tick_due = event(due_after(OF_TICKS, run.phases->tick, TICK_NS, time), TICK, 0);
}

static void on_activator_stat(double concurrency, bool poked) {
    observe(concurrency);
    wake_tick(poked ? now : now - 1);
    if (revision.desired == 0 && concurrency != 0.0) decide(true);
}

/* ---- Queue-proxy and container: one request at a time, ten more wait ---- */

static i64 direct_inside, direct_last; /* requests that came past the activator, and when the latest one ended */
static i32 *candidates;                /* pods that were not asked to go, in the order of their creation */
static i64 candidate_count;

static inline void advance(QueueProxy *proxy, i64 time) {
    i64 passed = time > proxy->changed ? time - proxy->changed : 0, inside = proxy->concurrency * passed;
    proxy->in_use += passed;
    proxy->integral += inside;
    proxy->changed += passed;
    run.concurrency += inside;
}

static void cut(QueueProxy *proxy, i64 time) {
    advance(proxy, time);
    proxy->published = proxy->in_use > 0 ? (double)proxy->integral / (double)proxy->in_use : 0.0;
    proxy->integral = proxy->in_use = 0;
}

static void publish(i64 pod, i64 before) { /* the latest whole second of this queue-proxy that has ended */
    QueueProxy *proxy = proxies + pod;
    i64 begun = run.pods[pod].containers + run.drawn[pod].queue_proxy;
    i64 latest = before - 1 - (before - 1 - begun) % SECOND;
    if (latest <= proxy->until) return;
    if (latest - SECOND > proxy->until) cut(proxy, latest - SECOND);
    cut(proxy, latest);
    proxy->until = latest;
}

static void count_direct(i64 pod, i32 more) { /* a request comes (1) or goes (-1) past the activator */
    publish(pod, now);
    advance(proxies + pod, now);
    proxies[pod].concurrency += more;
    direct_inside += more;
    if (more < 0) direct_last = now;
}

static void begin(i64 request, i64 pod) {
    Request *row = run.requests + request;
    row->begun = now > row->arrived ? now : row->arrived;
    row->service = run.service[request];
    row->done = row->begun + row->service;
    row->response = row->done + SERVER_TO_CLIENT_NS; /* nothing can stop it any more */
    row->status = OK;
    if (row->done > row->sent + run.delay[request] + TIMEOUT_NS) fault = UNCOVERED;
    states[pod].running = (i32)request;
    states[pod].busy_since = now;
    push(&services, event(row->done, DONE, request));
}

static bool serve(i64 request, i64 pod, i64 transfer_ns) { /* whether the pod is not full */
    Request *row = run.requests + request;
    State *state = states + pod;
    row->pod = (i32)pod;
    row->arrived = now + transfer_ns;
    state->last_arrival = now;
    if (state->running == NOTHING) {
        begin(request, pod);
    } else if (state->waiting < DEPTH) {
        proxies[pod].queue[(state->head + state->waiting++) % DEPTH] = (i32)request;
    } else {
        row->service = 0;
        row->begun = row->done = NEVER;
        row->response = now + SERVER_TO_CLIENT_NS;
        row->status = QUEUE_FULL;
        ended++;
        return false;
    }
    return true;
}

/* Read the queue-proxies of a sample of pods: those older than the stable window come first, at random. */
static double read_pods(void) {
    const double confidence = 1.96 * 1.96 * 100.0 / 25.0, ready = (double)revision.ready;
    i64 nth = (now - run.phases->scrape) / SECOND, size = revision.ready, found = 0;
    u64 best[17];
    if (size > 3) size = (i64)ceil(ready * confidence / (ready + confidence - 1.0));
    for (i64 place = 0; place < candidate_count; place++) {
        i64 pod = candidates[place], at = found;
        if (!states[pod].ready) continue;
        u64 young = now - run.pods[pod].scheduled < STABLE_WINDOW_S * SECOND;
        u64 order = young << 63 | (u64)chance((u64)nth, (1u << 20) + (u32)pod) << 24 | (u64)pod;
        for (; at && best[at - 1] > order; at--) best[at] = best[at - 1];
        best[at] = order;
        found += found < size;
    }
    double total = 0.0;
    for (i64 at = 0; at < found; at++) {
        i64 pod = best[at] & 0xFFFFFF;
        publish(pod, now + 1);
        total += proxies[pod].published;
    }
    return total / (double)size * ready;
}

static void on_scrape(void) {
    scrape_due = revision.ready ? event(due_next(OF_SCRAPES, run.phases->scrape, SECOND), SCRAPE, 0) : LAST;
    if (revision.ready == 0) return;
    bool is_quiet = direct_inside == 0 && direct_last < now - 3 * SECOND; /* all would say 0 */
    observe(is_quiet ? 0.0 : read_pods());
    wake_tick(now - 1);
}

/* ---- The gateway and the activator: views, a queue, statistics ---- */

static int gateway_mode; /* whether the gateway sends requests to pods, or to the activator */

static void on_visible(i64 pod, bool added) {
    if (added && states[pod].ready) insert(&gateway, pod);
    else if (!added && states[pod].spots[gateway.which] != NOTHING) take_out(&gateway, pod);
}

static i32 *waiting;
static i64 running, waking, wakes;
static u64 waiting_head, waiting_tail, waiting_mask;
static struct { i64 concurrency, changed, integral, in_use, told; bool alive; } stat;

static inline void count_activator(i64 more) {
    i64 passed = now - stat.changed, inside = stat.concurrency * passed;
    stat.in_use += passed;
    stat.integral += inside;
    stat.changed = now;
    stat.concurrency += more;
    run.concurrency += inside;
}

static inline void free_slot(i64 pod) {
    i64 spot = states[pod].spots[activator.which];
    count_activator(-1);
    running--;
    if (spot == NOTHING) return;
    Block *block = activator.blocks + spot / WIDTH;
    block->free |= 1ull << spot % WIDTH;
    if (block->nth < activator.free_nth) activator.free_nth = block->nth;
}

static inline void send(i64 request, i64 pod, i64 transfer_ns) {
    i64 spot = states[pod].spots[activator.which];
    activator.blocks[spot / WIDTH].free &= ~(1ull << spot % WIDTH);
    running++;
    if (!serve(request, pod, transfer_ns)) free_slot(pod);
}

static void take_slot(i64 request, i64 transfer_ns) { /* past all that wait, or behind them */
    i64 pod = running < activator.pods ? first_free(&activator) : NOTHING;
    if (pod == NOTHING) waiting[waiting_tail++ & waiting_mask] = (i32)request;
    else send(request, pod, transfer_ns);
}

static void dispatch(i64 transfer_ns) {
    while (waiting_head < waiting_tail && running + waking < activator.pods) {
        i64 pod = first_free(&activator);
        if (pod == NOTHING) return;
        send(waiting[waiting_head++ & waiting_mask], pod, transfer_ns);
    }
}

static void wake(void) { /* a slot is free: the first one in the queue takes it when it is awake */
    if (waiting_head == waiting_tail || running + waking >= activator.pods) return;
    i64 asleep = late(OF_WAKES, ++wakes);
    if (asleep <= SERVER_TO_CLIENT_NS) { dispatch(HAND_OVER_NS); return; } /* nobody can have overtaken it */
    waking++;
    put_soon(event(now + asleep, WAKE, waiting[waiting_head++ & waiting_mask]));
}

static void on_found(i64 pod) { /* a probe has succeeded */
    if (states[pod].phase > SERVING || states[pod].known) return;
    states[pod].known = 1;
    run.pods[pod].usable = now;
    insert(&activator, pod);
    dispatch(FRONT_TO_SERVER_NS);
}

static void on_forget(i64 pod) { /* it has left the endpoints */
    take_out(&activator, pod);
    dispatch(FRONT_TO_SERVER_NS);
}

static void on_report(void) {
    count_activator(0);
    double concurrency = stat.in_use > 0 ? (double)stat.integral / (double)stat.in_use : 0.0;
    double heard = fmax(concurrency - (double)stat.told, 0.0);
    stat.integral = stat.in_use = stat.told = 0;
    stat.alive = concurrency != 0.0 || stat.concurrency != 0;
    report_due = stat.alive ? event(due_next(OF_REPORTS, run.phases->report, SECOND), REPORT, 0) : LAST;
    on_activator_stat(heard, false);
}

/* ---- Pods ---- */

static i32 *unprobed;
static i64 unprobed_count, last_ready, last_ready_created;

static void create_pods(i64 number_of_pods) {
    if (made + number_of_pods > run.pod_rows) { fault = TOO_FEW_PODS; return; }
    for (; number_of_pods > 0; number_of_pods--, made++) {
        run.pods[made] = (Pod){
            now, now, NEVER, now, NEVER, NEVER, NEVER, NEVER, NEVER, 0, made, 0, run.drawn[made].address, 0, now,
        };
        run.nodes[made] = (Node){0, 0, now, now, NEVER, 1};
        states[made] = (State){NEVER, NEVER, NOTHING, {NOTHING, NOTHING}, STARTING, 0, 0, 0, 0};
        candidates[candidate_count++] = (i32)made;
        revision.alive++;
        if (run.drawn[made].start != run.drawn->start) fault = UNCOVERED;
    }
    if (front[STARTS] == LAST) put(STARTS, next_of_starts());
}

static void on_listening(i64 pod) { /* the container answers: probes of the kubelet and of the activator will find it */
    const Drawn *drawn = run.drawn + pod;
    if (states[pod].phase != STARTING) return;
    states[pod].phase = SERVING;
    run.pods[pod].listening = now;
    i64 first = run.pods[pod].containers + drawn->kubelet, since_poll = (now - first) % QUEUE_PROXY_POLL_NS;
    i64 answered = now + (QUEUE_PROXY_POLL_NS - since_poll) % QUEUE_PROXY_POLL_NS;
    i64 begun = answered > first ? first + (answered - first) / PROBE_PERIOD_NS * PROBE_PERIOD_NS : first;
    if (answered - begun > PROBE_TIMEOUT_NS) begun += PROBE_PERIOD_NS;
    schedule(event(answered > begun ? answered : begun, READY, pod));
    i64 until_poll = (drawn->poll - now) % QUEUE_PROXY_POLL_NS;
    schedule(event(now + until_poll + (until_poll < 0 ? QUEUE_PROXY_POLL_NS : 0), FOUND, pod));
    unprobed[unprobed_count++] = (i32)pod;
}

static void on_ready(i64 pod) {
    if (states[pod].phase != SERVING) return;
    if (last_ready == now && last_ready_created != run.pods[pod].created) fault = UNCOVERED;
    last_ready = now;
    last_ready_created = run.pods[pod].created;
    states[pod].ready = 1;
    run.pods[pod].ready = now;
    proxies[pod] = (QueueProxy){.changed = now, .until = NEVER};
    revision.ready++;
    if (scrape_due == LAST) scrape_due = event(due_after(OF_SCRAPES, run.phases->scrape, SECOND, now), SCRAPE, 0);
    append(SHOWS, event(now + ENDPOINTS_TO_INGRESS_NS, VISIBLE, 2 * pod + 1));
    if (revision.ready == 1) enqueue_service();
    /* The endpoints changed: the activator probes all pods that it does not know yet. */
    for (i64 place = 0; place < unprobed_count; place++)
        if (states[unprobed[place]].phase == SERVING && !states[unprobed[place]].known)
            append(FINDS, event(now + ENDPOINTS_TO_ACTIVATOR_NS, FOUND, unprobed[place]));
    unprobed_count = 0;
    record_change();
    enqueue();
}

static void terminate(i64 pod) {
    bool was_ready = states[pod].ready;
    states[pod].phase = QUIET;
    states[pod].ready = 0;
    run.pods[pod].asked = now;
    append(DRAINS, event(now + QUIET_S * SECOND, DRAIN, pod));
    if (states[pod].known) append(FORGETS, event(now + ENDPOINTS_TO_ACTIVATOR_NS, FORGET, pod));
    if (was_ready) {
        append(SHOWS, event(now + ENDPOINTS_TO_INGRESS_NS, VISIBLE, 2 * pod));
        if (--revision.ready == 0) enqueue_service();
    }
    enqueue();
}

static u64 *ranks, *sorted;

static u64 smallest(u64 *values, i64 size, i64 nth) { /* the nth by size, from 0: Hoare's selection */
    for (i64 low = 0, high = size - 1; low < high;) {
        u64 pivot = values[(low + high) / 2], kept;
        i64 one = low, other = high;
        while (one <= other) {
            while (values[one] < pivot) one++;
            while (values[other] > pivot) other--;
            if (one <= other) { kept = values[one]; values[one++] = values[other]; values[other--] = kept; }
        }
        if (nth <= other) high = other;
        else if (nth >= one) low = one;
        else break;
    }
    return values[nth];
}

/* Pods that are not ready go first, then those of the lowest power of two of their age [ns]; then UIDs count. */
static void remove_pods(i64 surplus) {
    i64 kept = 0;
    for (i64 place = 0; place < candidate_count; place++) {
        Pod *pod = run.pods + candidates[place];
        u64 ready = states[candidates[place]].ready, age = now - (ready ? pod->ready : pod->created);
        u64 width = age ? 64 - (u64)__builtin_clzll(age) : 0, uid = (u64)run.drawn[candidates[place]].uid;
        ranks[place] = sorted[place] = ((ready << 7 | width) << 31 | uid) << 24 | (u64)place;
    }
    u64 last = smallest(sorted, candidate_count, surplus - 1);
    for (i64 place = 0; place < candidate_count; place++)
        if (ranks[place] <= last) terminate(candidates[place]);
        else candidates[kept++] = candidates[place];
    candidate_count = kept;
}

static void on_rollout(void) {
    i64 missing = revision.replicas - candidate_count;
    if (missing > 0) create_pods(missing);
    if (missing < 0) remove_pods(-missing);
    record_change();
    settle();
}

static void may_stop(i64 pod) { /* a pod that drains is empty */
    if (states[pod].phase != DRAINING || states[pod].running != NOTHING) return;
    states[pod].phase = STOPPING;
    if (now + DELETION_NS > run.pods[pod].asked + TIMEOUT_NS) fault = UNCOVERED;
    append(STOPS, event(now + DELETION_NS, DRAIN, pod));
}

static void on_drain(i64 pod) {
    i64 quiet = states[pod].last_arrival + QUIET_S * SECOND;
    if (states[pod].phase == STOPPING) {
        states[pod].phase = GONE;
        run.pods[pod].gone = run.nodes[pod].gone = now;
        revision.alive--;
        settle();
    } else if (quiet > now) {
        schedule(event(quiet, DRAIN, pod));
    } else {
        states[pod].phase = DRAINING;
        may_stop(pod);
    }
}

/* ---- Requests ---- */

static void arrive(i64 request) { /* at the gateway */
    Request *row = run.requests + request;
    row->sent = run.load + run.sent[request];
    if (gateway_mode == SERVE && gateway.pods > 0) {
        i64 pod = next_in_turn(&gateway);
        row->activator = NOTHING;
        count_direct(pod, 1);
        if (!serve(request, pod, FRONT_TO_SERVER_NS)) count_direct(pod, -1);
        return;
    }
    row->activator = 0;
    if (!stat.alive) { /* the activator has no entry for the revision, and tells the autoscaler at once */
        stat.alive = true;
        stat.told = 1;
        stat.changed = now;
        stat.integral = stat.in_use = 0;
        schedule(event(now + FIRST_STAT_NS, POKE, 0));
        report_due = event(due_after(OF_REPORTS, run.phases->report, SECOND, now - 1), REPORT, 0);
    }
    count_activator(1);
    take_slot(request, FRONT_TO_SERVER_NS);
}

static void complete(i64 request) {
    i64 pod = run.requests[request].pod;
    State *state = states + pod;
    run.pods[pod].busy += now - state->busy_since;
    state->running = NOTHING;
    ended++;
    bool is_direct = run.requests[request].activator == NOTHING;
    if (is_direct) count_direct(pod, -1);
    if (state->waiting) {
        begin(proxies[pod].queue[state->head], pod);
        state->head = (int8_t)((state->head + 1) % DEPTH);
        state->waiting--;
    }
    if (!is_direct) {
        free_slot(pod);
        wake();
    }
    may_stop(pod);
}

static void handle(Event one) { /* an event of pods and controllers */
    i64 entity = entity_of(one);
    take_next_of_pods();
    switch (kind_of(one)) {
        case STAGE: on_listening(entity); break;
        case FOUND: on_found(entity); break;
        case READY: on_ready(entity); break;
        case VISIBLE: on_visible(entity >> 1, entity & 1); break;
        case FORGET: on_forget(entity); break;
        case DRAIN: on_drain(entity); break;
        case ROLLOUT: on_rollout(); break;
        case SKS: on_service_due(); break;
        case MODE: gateway_mode = entity ? SERVE : PROXY; break;
        case POKE: on_activator_stat(1.0, true); break;
        case LOAD: next_sent = run.load + run.sent[0]; break;
        case RECONCILE: if (entity == 3) on_status_written(); else reconcile();
    }
}

static struct { void *memory; size_t size; } kept[64]; /* for the next run as well, as the engine keeps its arrays */
static int kept_count;

static void *room(i64 rows, size_t size) {
    int place = kept_count++;
    if (kept[place].size < (size_t)rows * size) {
        free(kept[place].memory);
        kept[place].memory = malloc(kept[place].size = (size_t)rows * size);
    }
    return kept[place].memory;
}

static void set_up_view(View *view) {
    i64 blocks = run.pod_rows / (WIDTH / 4) + 2;
    *view = (View){.which = view->which, .spare = NOTHING, .nth = -1};
    view->blocks = room(blocks, sizeof(Block));
    view->entries = room(blocks, sizeof(Entry));
    add_block(view, 0, 0);
}

static void set_up(void) {
    i64 pods = run.pod_rows;
    finished = false;
    now = fault = ended = next = made = next_start = candidate_count = unprobed_count = running = waking = wakes = 0;
    direct_inside = most_in_panic = soon_last = kept_count = 0;
    waiting_head = waiting_tail = 0;
    run.pod_count = run.tick_count = run.change_count = run.concurrency = 0;
    run.load = direct_last = panic_since = last_ready = NEVER;
    next_sent = INT64_MAX;
    report_due = scrape_due = tick_due = next_of_pods = soon[0] = LAST;
    stable = panic = (Window){NEVER, NEVER, 0.0, {0.0}};
    memset(&stat, 0, sizeof stat);
    for (int what = 0; what < LATE; what++) late_block[what] = -1;
    for (queue_mask = 63; queue_mask < (u64)(2 * pods); queue_mask = 2 * queue_mask + 1) continue;
    for (waiting_mask = 63; waiting_mask < (u64)run.request_count; waiting_mask = 2 * waiting_mask + 1) continue;
    for (int source = 0; source < SOURCES; source++) front[source] = LAST;
    for (int source = ROLLOUTS; source < OTHERS; source++) {
        queues[source].rows = room((i64)queue_mask + 1, sizeof(Event));
        queues[source].head = queues[source].tail = 0;
    }
    others = (Heap){room(4 * pods + 4096, sizeof(Event)), 0};
    services = (Heap){room(pods + 4, sizeof(Event)), 0};
    for (int place = 0; place < 3; place++) others.rows[place] = services.rows[place] = LAST;
    waiting = room((i64)waiting_mask + 1, sizeof *waiting);
    states = room(pods, sizeof *states);
    proxies = room(pods, sizeof *proxies);
    candidates = room(pods, sizeof *candidates);
    unprobed = room(pods, sizeof *unprobed);
    ranks = room(pods, sizeof *ranks);
    sorted = room(pods, sizeof *sorted);
    set_up_view(&activator);
    set_up_view(&gateway);
    memset(&revision, 0, sizeof revision);
    revision.replicas = 1;
    revision.desired = -1;
    revision.excess = trunc(TOTAL_VALUE - TARGET_BURST_CAPACITY);
    revision.active = ABSENT;
    revision.active_since = revision.backed_since = stamp();
    revision.asked_mode = revision.public_mode = gateway_mode = PROXY;
    revision.backed = 1;
    revision.status_desired = revision.shown_desired = -2;
    revision.seen_desired = revision.latest.desired = -3;
}

/* Simulates one replication; 0, or the fault that stopped it. */
i64 simulate(Run *given) {
    run = *given;
    set_up();
    on_rollout();
    enqueue();
    while (!finished && !fault) {
        /* To send a request is no event of its own: requests stand among the next events before they arrive. */
        while (next_sent <= time_of(soon[soon_last])) {
            put_soon(event(next_sent + run.delay[next], ARRIVE, next));
            next_sent = ++next < run.request_count ? run.load + run.sent[next] : INT64_MAX;
        }
        Event first = soon[soon_last];
        first = services.rows[0] < first ? services.rows[0] : first;
        first = report_due < first ? report_due : first;
        first = scrape_due < first ? scrape_due : first;
        first = tick_due < first ? tick_due : first;
        first = next_of_pods < first ? next_of_pods : first;
        now = time_of(first);
        switch (kind_of(first)) {
            case DONE: pop(&services); complete(entity_of(first)); break;
            case ARRIVE: soon_last--; arrive(entity_of(first)); break;
            case WAKE: soon_last--; waking--; take_slot(entity_of(first), HAND_OVER_NS); break;
            case REPORT: on_report(); break;
            case SCRAPE: on_scrape(); break;
            case TICK: on_tick(); break;
            default: handle(first);
        }
    }
    run.end = now;
    run.pod_count = made;
    *given = run;
    return fault;
}
