#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/mma/descriptor.cuh>

// The tile of a tensor-core GEMM may be chosen per launch by the host; the text of the kernel stays the same.
#ifndef FP8LM_TILE_M
#define FP8LM_TILE_M 128
#endif
#ifndef FP8LM_TILE_N
#define FP8LM_TILE_N 128
#endif

namespace fp8lm::gemm {

constexpr int kSharedLimit = 232448;    // 227 KiB, what one block of sm_90 can have

// kPromote: add the tensor cores' partial sums into FP32 registers every 128 bytes of K (Hopper's FP8 accumulator keeps about 14 bits).
template <class A, class B, bool kAKMajor, bool kBKMajor, bool kPromote, int kRowsOfTile = FP8LM_TILE_M, int kColumnsOfTile = FP8LM_TILE_N>
struct Config
{
    static_assert(sizeof(A) == sizeof(B), "both operands are FP8 or both are bf16");
    using ElementA = A;
    using ElementB = B;
    using OperandA = mma::Operand<A, kAKMajor, kRowsOfTile>;
    using OperandB = mma::Operand<B, kBKMajor, kColumnsOfTile>;
    static constexpr bool kAIsKMajor = kAKMajor;
    static constexpr bool kBIsKMajor = kBKMajor;
    static constexpr bool kPromotes = kPromote;

    static constexpr int kTileM = kRowsOfTile;
    static constexpr int kTileN = kColumnsOfTile;
    static constexpr int kBlocks = 0;
    static constexpr int kBlockK = OperandA::kBlockK;
    static constexpr int kConsumers = kTileM / 64;    // one warpgroup per 64 rows
    static constexpr int kThreads = 128 * (1 + kConsumers);
    static_assert(kConsumers >= 1 && kConsumers <= 2, "register counts are set for one or two consumer warpgroups");
    static_assert(!kPromote || kTileN <= 192, "two sets of 128 accumulators spill");

    static constexpr int kStageBytes = OperandA::kBytes + OperandB::kBytes;
    static constexpr int kAlignmentSlack = 1024;    // the swizzle pattern repeats every 1024 bytes of address
    static constexpr int kMaximumStages = 6;
    static constexpr int kFittingStages = (kSharedLimit - kAlignmentSlack - 256) / kStageBytes;
    static constexpr int kStages = kFittingStages < kMaximumStages ? kFittingStages : kMaximumStages;
    static constexpr int kSharedBytes = kAlignmentSlack + kStages * kStageBytes + 2 * kStages * 8;

    // Registers of a thread after the split of the file: 128 * (producer + consumers * each) <= 65536.
    static constexpr int kProducerRegisters = 40;
    static constexpr int kConsumerRegisters = kConsumers == 2 ? 232 : 248;
};

// F32 operands: exact FP32 multiply-add without tensor cores, any layout, any alignment.
template <bool kAKMajor, bool kBKMajor> struct ConfigF32 : Launch<256, 128, 64>
{
    static constexpr bool kAIsKMajor = kAKMajor;
    static constexpr bool kBIsKMajor = kBKMajor;
};

}  // namespace fp8lm::gemm
