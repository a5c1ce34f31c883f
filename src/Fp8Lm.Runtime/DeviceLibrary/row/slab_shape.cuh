#pragma once
#include <fp8lm/common/types.cuh>

// How row kernels whose values cross rows are cut into blocks: evaluated by the kernel's compiler, from extents and what the kernel holds.
namespace fp8lm::row {

constexpr int kBatch = 4;          // rows at once
constexpr int kSlabRows = 16;      // rows whose column sums are added first; also 16 bytes of a transposed FP8 copy

// Every block of a cluster has a part of the columns of the same rows.
struct SlabShape
{
    int columns;    // of a block
    int cluster;    // blocks
    int lanes;      // of a row in its block: a power of two up to a warp, or whole warps
    int packs;      // of a lane
    int groups;     // of lanes, each with rows of its own
    int slabs;      // of 16 rows, that a group works on in turn
    int stages;     // batches on their way from memory, the one in work included; 0: loads where they are needed
    int resident;   // blocks of a multiprocessor at least

    constexpr int rows() const { return groups * slabs * kSlabRows; }
    constexpr int threads() const { return groups * lanes; }
    constexpr int turn_pitch() const { return (columns + 7) / 8 * 8 + 4; }    // words from quad to quad: quads of a slab lie in different banks
    constexpr int turn_bytes() const { return rows() / 4 * turn_pitch() * 4; }
    constexpr int warps() const { return lanes / kWarpSize; }
    constexpr int parts() const { return lanes <= kWarpSize ? 0 : (cluster * warps() + 7) / 8 * 8; }
};

constexpr int kMultiprocessors = 132, kSharedOfMultiprocessor = 228 << 10, kSharedOfBlock = 227 << 10, kReserved = 1 << 10;
constexpr int kRegisters = 32;          // of a lane, and five for each column of a pack, besides what it holds for its columns
constexpr int kOfNarrowRows = 24;
constexpr int kMostLanes = 512, kMostCluster = 8;

// What decides the shape: bytes of a column that are asked for ahead, transposed copies, sums over the row (0: none), and what a lane holds in registers for
// each of its columns.
struct SlabNeeds
{
    i64 rows, columns;
    int width, ahead, turns, reductions, held;

    // A lane's, as ptxas needs them to spill nothing. Where a warp has several rows, what is known of a row takes registers of its lanes and not uniform ones.
    constexpr int registers(const SlabShape& s) const { return (kRegisters + (s.lanes < kWarpSize ? kOfNarrowRows : 0) + (5 + held * s.packs) * width + 7) / 8 * 8; }
    // Each of the four parts of a multiprocessor has 16384 registers for whole warps.
    constexpr int blocks_by_registers(const SlabShape& s) const { return 4 * ((16 << 10) / (kWarpSize * registers(s))) * kWarpSize / s.threads(); }

    constexpr int part_bytes(const SlabShape& s) const { return 2 * reductions * s.groups * kBatch * s.parts() * 4; }
    constexpr int stage_bytes(const SlabShape& s) const { return kBatch * s.packs * s.threads() * width * ahead; }
    constexpr int bytes(const SlabShape& s) const { return turns * s.turn_bytes() + part_bytes(s) + s.stages * stage_bytes(s); }
};

constexpr int blocks_by_shared(int bytes) { return kSharedOfMultiprocessor / (bytes + kReserved + 256); }

constexpr int lanes_of(int packs)
{
    if (packs > kWarpSize)
        return (packs + kWarpSize - 1) / kWarpSize * kWarpSize;
    int lanes = 8;
    while (lanes < packs)
        lanes *= 2;
    return lanes;
}

// Nothing is reduced: a warp has 256 columns, a block as many warps as there are slabs for, up to 128 bytes of a column of the transposed copy. Many blocks hide
// each other's waits; a matrix so small that all blocks run at once takes as long as one of them, which then asks for all its rows at once.
constexpr SlabShape split_shape(const SlabNeeds& n)
{
    SlabShape s{};
    const int packs = (int)((n.columns + n.width - 1) / n.width);
    s.lanes = lanes_of(packs < kWarpSize ? packs : kWarpSize);
    s.columns = s.lanes * n.width;
    s.cluster = s.packs = s.slabs = 1;
    s.groups = 256 / s.lanes;
    const i64 across = (n.columns + s.columns - 1) / s.columns;
    while (s.threads() > kWarpSize && ((n.rows + s.rows() - 1) / s.rows() * across < 2 * kMultiprocessors || blocks_by_shared(n.bytes(s)) < 2))
        s.groups /= 2;
    s.stages = kSlabRows / kBatch;
    if (n.bytes(s) > kSharedOfBlock || (n.rows + s.rows() - 1) / s.rows() * across > kMultiprocessors * blocks_by_shared(n.bytes(s)))
        s.stages = 0;
    return s;
}

constexpr SlabShape reducing_shape(const SlabNeeds& n, int cluster, int slabs, int stages)
{
    SlabShape s{};
    const i64 part = (n.columns + cluster - 1) / cluster;
    const int packs = (int)((part + n.width - 1) / n.width);
    s.columns = packs * n.width;
    s.cluster = (int)((n.columns + s.columns - 1) / s.columns);
    s.packs = (packs + kMostLanes - 1) / kMostLanes;
    s.lanes = lanes_of((packs + s.packs - 1) / s.packs);
    s.groups = s.lanes < 128 ? 128 / s.lanes : 1;
    s.slabs = slabs;
    s.stages = stages;
    return s;
}

// Columns that a multiprocessor works on at a time, which is what keeps memory busy. One block is not enough: it waits at its reductions.
constexpr int resident_columns(const SlabNeeds& n, const SlabShape& s)
{
    if (n.bytes(s) > kSharedOfBlock || s.packs > 1)
        return 0;
    int blocks = blocks_by_shared(n.bytes(s));
    const int by_registers = n.blocks_by_registers(s);
    blocks = blocks < by_registers ? blocks : by_registers;
    return blocks < 2 ? 0 : blocks * s.columns * s.groups * (s.stages > 1 ? 5 : 4) / 4;
}

// Rows across blocks of one cluster only where they do not fit: a cluster waits for its slowest block.
constexpr SlabShape shape_of(const SlabNeeds& n)
{
    SlabShape s = reducing_shape(n, 1, 1, 1);
    if (n.reductions == 0)
        s = split_shape(n);
    else
    {
        int best = 0;
        for (int slabs = 2; slabs > 0 && best == 0; --slabs)
            for (int cluster = 1; cluster <= kMostCluster && best == 0; cluster *= 2)
                for (int stages = 2; stages > 0; --stages)
                {
                    const SlabShape tried = reducing_shape(n, cluster, slabs, stages);
                    const bool idle = slabs > 1 && (n.rows + tried.rows() - 1) / tried.rows() * cluster < kMultiprocessors;
                    const int columns = idle ? 0 : resident_columns(n, tried);
                    if (columns > best)
                    {
                        best = columns;
                        s = tried;
                    }
                }
        // Wider than that: lanes have several packs; still wider, nothing is asked for ahead.
        for (int stages = 1; stages >= 0; --stages)
            for (int cluster = 1; cluster <= kMostCluster && best == 0; cluster *= 2)
                if (const SlabShape tried = reducing_shape(n, cluster, 1, stages); n.bytes(tried) <= kSharedOfBlock)
                {
                    best = 1;
                    s = tried;
                }
    }
    const int by_shared = blocks_by_shared(n.bytes(s)), by_registers = n.blocks_by_registers(s);
    s.resident = by_shared < by_registers ? by_shared : by_registers;
    s.resident = s.resident < 1 ? 1 : s.resident > 16 ? 16 : s.resident;
    return s;
}

}  // namespace fp8lm::row
