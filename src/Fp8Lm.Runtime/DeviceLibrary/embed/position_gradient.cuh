#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::embed {

// grad[t] += sum over b of dY[b, t], in the order of b. dY: [batch, sequence, columns]; grad: [sequence, columns] f32, adds.
struct PositionGradient : Launch<256>
{
    template <class T>
    static __device__ void run(const T* d_y, float* grad, i64 batch, i64 sequence, i64 columns)
    {
        const i64 elements = sequence * columns;
        for (i64 i = (i64)blockIdx.x * kThreads + threadIdx.x; i < elements; i += (i64)gridDim.x * kThreads)
        {
            float sum = grad[i];
            #pragma unroll 4
            for (i64 b = 0; b < batch; ++b)
                sum += load(d_y + b * elements + i);
            grad[i] = sum;
        }
    }
};

}  // namespace fp8lm::embed
