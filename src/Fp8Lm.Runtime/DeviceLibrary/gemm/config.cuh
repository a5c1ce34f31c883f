#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/epilogue/column_values.cuh>
#include <fp8lm/epilogue/turned_columns.cuh>
#include <fp8lm/gemm/tile.cuh>
#include <fp8lm/mma/descriptor.cuh>

namespace fp8lm::gemm {

// Operands with a scale per 128 of K. A has one per row; B too, or one per 128 rows where it is a weight.
enum class BlockScales { None, Rows, Squares };

constexpr int kSharedLimit = 232448;    // 227 KiB, what one block of sm_90 can have

// A: [M, K], or [K, M] where not K-major; B: [N, K] or [K, N].
// kPromote: add the tensor cores' partial sums into FP32 registers every 128 bytes of K (Hopper's FP8 accumulator keeps about 14 bits).
// E: the epilogue, whose weight is a part of the choice.
// kBlockScales: inverse scales of the operands per 128 of K, applied where partial sums are promoted.
template <class A, class B, bool kAKMajor, bool kBKMajor, bool kPromote, i64 kM, i64 kN, i64 kK, class E, BlockScales kBlockScales = BlockScales::None>
struct Config
{
    static constexpr bool kLight = E::kSums == 0 && sizeof(typename E::Inputs) <= (E::kTransposed == 0 ? 16 : 1) && sizeof(typename E::Columns) <= 32;
    static constexpr bool kPlain = E::kSums == 0 && E::kTransposed == 0;
    static constexpr bool kStores = kPlain && !E::kComputes && sizeof(typename E::Inputs) <= 1 && sizeof(typename E::Columns) <= 1;
    static constexpr bool kNarrow = E::kSums <= 1 && E::kTransposed == 0 && sizeof(typename E::Inputs) <= 16 && sizeof(typename E::Columns) <= 32;
    static constexpr bool kBlockScaled = kBlockScales != BlockScales::None;
    static constexpr TileSpeeds kSpeeds = kBlockScaled ? kPlain ? kBlockScaledPlainSpeeds : kBlockScales == BlockScales::Rows ? kRowScaledSpeeds : kBlockScaledSpeeds
        : sizeof(A) == 2 ? kStores ? kBf16PlainSpeeds : kNarrow ? kBf16Speeds : kBf16WideSpeeds : kPromote ? kPlain ? kPromotedPlainSpeeds : kPromotedSpeeds : kLight ? kFp8LightSpeeds : kFp8Speeds;
    static_assert(sizeof(A) == 1 ? sizeof(B) == 1 : kSame<A, B>, "both operands are FP8 or both are one 16-bit type");
    static constexpr Cut kCut = choose_cut(kSpeeds, kM, kN, kK * (i64)sizeof(A), !kBlockScaled);
    static constexpr Tile kTile = kTiles[kCut.tile];
    static constexpr int kSplit = kCut.split;    // blocks of a cluster, each with its part of K
    static constexpr int kRows = kTile.rows, kColumns = kTile.columns;
    static constexpr bool kTogether = kTile.consumers == Consumers::Together, kInTurn = !kTogether;

    using ElementA = A;
    using ElementB = B;
    using OperandA = mma::Operand<A, kAKMajor, kRows>;
    using OperandB = mma::Operand<B, kBKMajor, kColumns>;
    static constexpr bool kAIsKMajor = kAKMajor;
    static constexpr bool kBIsKMajor = kBKMajor;
    static constexpr bool kPromotes = kPromote;
    static constexpr BlockScales kScales = kBlockScales;
    static_assert(!kBlockScaled || (kPromote && sizeof(A) == 1 && kM % 4 == 0 && kN % 4 == 0), "blocks of FP8 operands, scales that are copied by 16 bytes");
    static_assert(kBlockScales != BlockScales::Squares || kColumns == 128, "a tile has one square of a weight at a time");

    // Rows of B, which become columns of the result, lie in shared memory in the order that gives a lane of a fragment eight adjacent ones of
    // every 32. The host says so in the tensor map under the same condition.
    static constexpr bool kAdjacent = kBKMajor && kN % 32 == 0;

    static constexpr int kRowEnd = (int)kM, kColumnEnd = (int)kN;
    static constexpr int kBlockK = OperandA::kBlockK;
    static constexpr int kBlocksK = (int)ceil_div<i64>(kK, kBlockK);
    static constexpr int kTilesM = (int)ceil_div<i64>(kM, kRows), kTilesN = (int)ceil_div<i64>(kN, kColumns);
    static_assert(kSplit == 1 || (kTogether && !kBlockScaled && kBlocksK >= kSplit), "consumers that share a tile can share it with other blocks, each of which has some of K");

    static constexpr int kConsumers = kTile.warpgroups;
    static constexpr int kSlabs = kRows / 64 / (kTogether ? kConsumers : 1);    // of 64 rows, that a consumer holds
    static constexpr int kAccumulators = kColumns / 2;                       // registers of a slab
    static_assert((kSlabs + (kPromote ? 1 : 0)) * kAccumulators <= (kConsumers == 2 ? 192 : 128), "accumulators and a promoted partial sum leave registers for more");

    // What the host is told.
    static constexpr int kThreads = 128 * (1 + kConsumers);
    static constexpr int kBlocks = kSplit == 1 ? 0 : kSplit * (kTilesM * kTilesN < clusters_at_a_time(kSplit) ? kTilesM * kTilesN : clusters_at_a_time(kSplit));
    static constexpr int kTileM = kRows, kTileN = kColumns;

    static constexpr int kStageBytes = OperandA::kBytes + OperandB::kBytes;
    static constexpr int kScaleBytes = kBlockScaled ? 4 * (kRows + (kBlockScales == BlockScales::Rows ? kColumns : 0)) : 0;    // of a stage, behind all tiles
    static constexpr int kAlignmentSlack = 1024;    // the swizzle pattern repeats every 1024 bytes of address
    static constexpr int kMaximumStages = 7;
    // A transposed copy goes through a buffer of each consumer where its columns are whole vectors.
    static constexpr bool kStagesTurns = E::kTransposed == 1 && E::kWholeTurned && kM % 16 == 0 && kN % 32 == 0;
    static constexpr int kTurnedBytes = kStagesTurns ? epilogue::StagedTurns::kBytes<kColumns> : 0;
    // Consumers in turn fetch what a tile's columns share while they wait for theirs.
    static constexpr bool kKeepsColumns = kInTurn && sizeof(typename E::Columns) % 16 == 0;
    static constexpr int kColumnBytes = kKeepsColumns ? epilogue::KeptColumns::kBytes<E, kColumns> : 0;
    static constexpr int kEpilogueBytes = kTurnedBytes + 4 * kColumnBytes;    // of a consumer
    static constexpr int kFittingStages = (kSharedLimit - kAlignmentSlack - 256 - kConsumers * kEpilogueBytes) / (kStageBytes + kScaleBytes);
    static constexpr int kStages = kFittingStages < kMaximumStages ? kFittingStages : kMaximumStages;
    static constexpr int kBarrierBytes = ceil_div(kStages * 16 + kConsumers * 8, 16) * 16;
    static constexpr int kSharedBytes = kAlignmentSlack + kStages * (kStageBytes + kScaleBytes) + kBarrierBytes + kConsumers * kEpilogueBytes;

    // Registers of a thread after the split of the file: 128 * (producer + consumers * each) <= 65536.
    static constexpr int kProducerRegisters = kConsumers == 2 ? 24 : 32;
    static constexpr int kConsumerRegisters = kConsumers == 2 ? 240 : 160;

    // Steps of an epilogue whose inputs are read before the first is applied: what registers hold beside accumulators and work. Promotion's partial sums are gone by then.
    static constexpr int kWorkRegisters = 48, kInputRegisters = 2 * (int)sizeof(typename E::Inputs) / 4;
    static constexpr int kRoom = (kConsumerRegisters - kSlabs * kAccumulators - kWorkRegisters) / (kInputRegisters > 0 ? kInputRegisters : 1);
    static constexpr int kReads = kRoom < 1 ? 1 : kRoom < ceil_div(kColumns, 32) ? kRoom : ceil_div(kColumns, 32);
};

// F32 operands: exact FP32 multiply-add without tensor cores, any layout, any alignment.
template <bool kAKMajor, bool kBKMajor> struct ConfigF32 : Launch<256, 128, 64>
{
    static constexpr bool kAIsKMajor = kAKMajor;
    static constexpr bool kBIsKMajor = kBKMajor;
};

}  // namespace fp8lm::gemm
