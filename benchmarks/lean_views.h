/* Of benchmarks/lean.c: lists of pods in the order of their addresses, which activator and gateway choose from. */

/* Blocks of up to 64 pods. A pod knows its block and its place there. A block that is full is split, one that is nearly
   empty joins the next. */

enum { WIDTH = 64 };
typedef struct { u64 free, keys[WIDTH]; i64 nth; } Block; /* address << 24 | pod; which are free; its entry */
typedef struct { u64 first; i32 block, count; } Entry;    /* no key of this block is below `first`; its pods */
typedef struct {
    int which;
    Block *blocks;
    Entry *entries;            /* in the order of addresses */
    i64 size, used, spare;     /* entries; blocks made; the first of those to be used again */
    i64 pods, free_nth;        /* no block before that one has a free pod */
    i64 turn, nth, inside;     /* the latest one in turn, and where it is while the view stays as it is (else nth -1) */
} View;
static View activator = {.which = 0}, gateway = {.which = 1};

static inline i64 pod_of(u64 key) { return (i64)(key & 0xFFFFFF); }

static inline void put_key(View *view, i64 block, i64 inside, u64 key) {
    view->blocks[block].keys[inside] = key;
    states[pod_of(key)].spots[view->which] = (i32)(block * WIDTH + inside);
}

static void number(View *view, i64 nth) {
    for (; nth < view->size; nth++) view->blocks[view->entries[nth].block].nth = nth;
}

static i64 add_block(View *view, i64 nth, u64 first) {
    i64 block = view->spare;
    if (block == NOTHING) block = view->used++;
    else view->spare = view->blocks[block].nth;
    memmove(view->entries + nth + 1, view->entries + nth, sizeof(Entry) * (size_t)(view->size++ - nth));
    view->entries[nth] = (Entry){first, (i32)block, 0};
    view->blocks[block].free = 0;
    number(view, nth);
    return block;
}

static void split(View *view, i64 nth) {
    Block *old = view->blocks + view->entries[nth].block;
    i64 block = add_block(view, nth + 1, old->keys[WIDTH / 2]);
    for (i64 inside = 0; inside < WIDTH / 2; inside++) put_key(view, block, inside, old->keys[WIDTH / 2 + inside]);
    view->blocks[block].free = old->free >> WIDTH / 2;
    old->free &= (1ull << WIDTH / 2) - 1;
    view->entries[nth].count = view->entries[nth + 1].count = WIDTH / 2;
}

static void join(View *view, i64 nth) { /* with the next one */
    Entry *entry = view->entries + nth;
    Block *other = view->blocks + entry[1].block;
    for (i64 inside = 0; inside < entry[1].count; inside++)
        put_key(view, entry->block, entry->count + inside, other->keys[inside]);
    view->blocks[entry->block].free |= other->free << entry->count;
    entry->count += entry[1].count;
    other->nth = view->spare;
    view->spare = entry[1].block;
    memmove(entry + 1, entry + 2, sizeof(Entry) * (size_t)(--view->size - nth - 1));
    number(view, nth + 1);
    if (nth < view->free_nth) view->free_nth = nth;
}

static void insert(View *view, i64 pod) {
    u64 key = (u64)run.drawn[pod].address << 24 | (u64)pod;
    i64 nth = 0;
    for (i64 size = view->size; size > 1; size -= size / 2)
        if (view->entries[nth + size / 2].first <= key) nth += size / 2;
    if (view->entries[nth].count == WIDTH) {
        split(view, nth);
        nth += view->entries[nth + 1].first <= key;
    }
    i64 block = view->entries[nth].block, inside = view->entries[nth].count++;
    Block *rows = view->blocks + block;
    for (; inside && rows->keys[inside - 1] > key; inside--) put_key(view, block, inside, rows->keys[inside - 1]);
    put_key(view, block, inside, key);
    u64 below = (1ull << inside) - 1;
    rows->free = (rows->free & below) | (rows->free & ~below) << 1 | 1ull << inside;
    if (nth < view->free_nth) view->free_nth = nth;
    view->pods++;
    view->nth = -1;
}

static void take_out(View *view, i64 pod) {
    i64 spot = states[pod].spots[view->which], block = spot / WIDTH, inside = spot % WIDTH;
    Block *rows = view->blocks + block;
    Entry *entry = view->entries + rows->nth;
    u64 below = (1ull << inside) - 1;
    rows->free = (rows->free & below) | (rows->free >> 1 & ~below);
    for (entry->count--; inside < entry->count; inside++) put_key(view, block, inside, rows->keys[inside + 1]);
    states[pod].spots[view->which] = NOTHING;
    view->pods--;
    view->nth = -1;
    if (rows->nth + 1 < view->size && entry->count + entry[1].count < WIDTH / 2) join(view, rows->nth);
}

static i64 next_in_turn(View *view) {
    i64 last = view->turn++, place = last % view->pods, nth = view->nth, inside = view->inside + 1;
    if (nth < 0 || place == 0) { nth = 0; inside = place; }
    for (; inside >= view->entries[nth].count; nth++) inside -= view->entries[nth].count;
    view->nth = nth;
    view->inside = inside;
    return pod_of(view->blocks[view->entries[nth].block].keys[inside]);
}

static inline i64 first_free(View *view) { /* the pod with the lowest address of those without a request */
    for (; view->free_nth < view->size; view->free_nth++) {
        Block *block = view->blocks + view->entries[view->free_nth].block;
        if (block->free) return pod_of(block->keys[__builtin_ctzll(block->free)]);
    }
    return NOTHING;
}
