/* One request at a time on each pod under Knative's autoscaler, as a hand-written loop: what the same work costs without
   a general model. Left out: delays of the network and of controllers, probes, reports of several activators, jitter of
   clocks, timeouts, scale to zero. Kept: Poisson arrivals, service and start times that are given, the queue of the
   activator, stable and panic window, panic mode, limits of the scale rates, pods that start and drain, and a table of
   requests, of pods and of decisions.  Compiled and timed by benchmarks/lean.py. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;
enum { SECOND = 1000000000, STABLE_S = 60, PANIC_S = 6 };

typedef struct { i64 sent, response, service, arrived, begun, done; int32_t pod; int16_t status, activator; } Request;
typedef struct { i64 created, ready, asked, gone, busy; int32_t request, place; } Pod;
typedef struct { i64 at; double stable, panic; int32_t ready, desired; } Decision;
typedef struct { i64 at; int32_t kind, pod; } Event;
enum { DONE, READY };

typedef struct { Event *rows; i64 size; } Heap;

static void push(Heap *heap, Event one) {
    i64 at = heap->size++;
    while (at && heap->rows[(at - 1) / 2].at > one.at) { heap->rows[at] = heap->rows[(at - 1) / 2]; at = (at - 1) / 2; }
    heap->rows[at] = one;
}

static Event pop(Heap *heap) {
    Event first = heap->rows[0], last = heap->rows[--heap->size];
    i64 at = 0, child;
    while ((child = 2 * at + 1) < heap->size) {
        child += child + 1 < heap->size && heap->rows[child + 1].at < heap->rows[child].at;
        if (heap->rows[child].at >= last.at) break;
        heap->rows[at] = heap->rows[child];
        at = child;
    }
    heap->rows[at] = last;
    return first;
}

/* Pods are simulated until the last request is done. Returns how many were made, -1 if there are too few draws. */
i64 simulate(i64 count, const i64 *sent, const i64 *service, const i64 *start, i64 pod_rows, double target, double up,
             double down, double panic_at, Request *requests, Pod *pods, Decision *decisions, i64 *decided) {
    Heap heap = {malloc(sizeof(Event) * (pod_rows + 1)), 0};
    i64 *queue = malloc(sizeof(i64) * count), head = 0, tail = 0;
    int32_t *idle = malloc(4 * pod_rows), *alive = malloc(4 * pod_rows);
    i64 free_pods = 0, living = 0, made = 0, ready = 0, next = 0, done = 0, ticks = 0;
    double stable_ring[STABLE_S] = {0}, panic_ring[PANIC_S] = {0}, stable_sum = 0, panic_sum = 0;
    i64 seconds = 0, in_flight = 0, since = 0, integral = 0, panic_until = -1, most = 0, scrape = SECOND, tick = 2 * SECOND;
    for (; living < 1; living++) {  /* a warm pod */
        pods[made] = (Pod){0, 0, -1, -1, -1, -1, (int32_t)living};
        alive[living] = (int32_t)made;
        idle[free_pods++] = (int32_t)made++;
        ready++;
    }
    while (done < count) {
        i64 clock = scrape < tick ? scrape : tick, now = heap.size ? heap.rows[0].at : INT64_MAX;
        i64 arrival = next < count ? sent[next] : INT64_MAX;
        if (clock <= now && clock <= arrival) {
            if (scrape <= tick) {  /* the average concurrency of this second goes into both windows */
                integral += in_flight * (scrape - since);
                double average = (double)integral / SECOND;
                stable_sum += average - stable_ring[seconds % STABLE_S];
                panic_sum += average - panic_ring[seconds % PANIC_S];
                stable_ring[seconds % STABLE_S] = panic_ring[seconds % PANIC_S] = average;
                seconds++;
                since = scrape;
                integral = 0;
                scrape += SECOND;
                continue;
            }
            double stable = stable_sum / (seconds < STABLE_S ? seconds : STABLE_S);
            double panic = panic_sum / (seconds < PANIC_S ? seconds : PANIC_S);
            double base = ready > 1 ? ready : 1, high = ceil(up * base), low = floor(base / down);
            double by_stable = fmin(fmax(ceil(stable / target), low), high);
            double by_panic = fmin(fmax(ceil(panic / target), low), high);
            if (ceil(panic / target) / base >= panic_at) {
                if (panic_until < 0) most = 0;
                panic_until = tick + (i64)STABLE_S * SECOND;
            } else if (panic_until >= 0 && tick >= panic_until) panic_until = -1;
            i64 desired = (i64)by_stable;
            if (panic_until >= 0) {
                if ((i64)by_panic > most) most = (i64)by_panic;
                desired = desired > most ? desired : most;
            }
            if (desired < 1) desired = 1;
            decisions[ticks++] = (Decision){tick, stable, panic, (int32_t)ready, (int32_t)desired};
            for (; living < desired; living++) {
                if (made == pod_rows) { made = -1; goto end; }
                pods[made] = (Pod){tick, -1, -1, -1, -1, -1, (int32_t)living};
                alive[living] = (int32_t)made;
                push(&heap, (Event){tick + start[made], READY, (int32_t)made});
                made++;
            }
            while (living > desired) {  /* those that start go first, then the youngest */
                i64 at = living - 1;
                for (i64 place = living - 1; place >= 0; place--)
                    if (pods[alive[place]].ready < 0) { at = place; break; }
                int32_t pod = alive[at];
                memmove(alive + at, alive + at + 1, 4 * (living - at - 1));
                living--;
                pods[pod].asked = tick;
                if (pods[pod].ready >= 0) ready--;
                if (pods[pod].request < 0) {
                    pods[pod].gone = tick;
                    for (i64 place = 0; place < free_pods; place++)
                        if (idle[place] == pod) { idle[place] = idle[--free_pods]; break; }
                }
            }
            tick += 2 * SECOND;
            continue;
        }
        int32_t pod;
        if (arrival < now) {
            now = arrival;
            integral += in_flight * (now - since);
            since = now;
            in_flight++;
            requests[next] = (Request){now, -1, 0, now, -1, -1, -1, 0, 0};
            queue[tail++] = next++;
            if (!free_pods) continue;
        } else {
            Event event = pop(&heap);
            pod = event.pod;
            if (event.kind == READY) {
                if (pods[pod].asked >= 0) continue;
                pods[pod].ready = now;
                ready++;
                idle[free_pods++] = pod;
            } else {
                integral += in_flight * (now - since);
                since = now;
                in_flight--;
                Request *one = requests + pods[pod].request;
                one->done = one->response = now;
                one->status = 200;
                pods[pod].busy += now - one->begun;
                pods[pod].request = -1;
                done++;
                if (pods[pod].asked >= 0) pods[pod].gone = now;
                else idle[free_pods++] = pod;
            }
        }
        while (head < tail && free_pods) {
            i64 one = queue[head++];
            pod = idle[--free_pods];
            requests[one].begun = now;
            requests[one].service = service[one];
            requests[one].pod = pod;
            pods[pod].request = (int32_t)one;
            push(&heap, (Event){now + service[one], DONE, pod});
        }
    }
end:
    *decided = ticks;
    free(heap.rows); free(queue); free(idle); free(alive);
    return made;
}
