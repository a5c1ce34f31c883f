using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>A buffer of a test: format and elements. Every byte starts as 0xFF, which is NaN in all floating formats.</summary>
internal readonly record struct TestBuffer(ElementFormat Format, long Elements);

/// <summary>One kernel in a real session: compiled, launched and fed as the kernels of a model are.</summary>
internal sealed class KernelHarness : IDisposable
{
    private readonly CudaSession session;
    private readonly TestBuffer[] buffers;

    public KernelHarness(KernelInfo kernel, params TestBuffer[] buffers)
        : this(kernel, new DimBinding(1, 1), buffers)
    {
    }

    public KernelHarness(KernelInfo kernel, DimBinding dims, params TestBuffer[] buffers)
        : this(kernel, dims, false, buffers)
    {
    }

    /// <param name="kernel">The kernel.</param>
    /// <param name="dims">Its dimensions.</param>
    /// <param name="overlaps">Whether it says that it waits for the kernel before it.</param>
    /// <param name="buffers">Its arguments.</param>
    public KernelHarness(KernelInfo kernel, DimBinding dims, bool overlaps, params TestBuffer[] buffers)
    {
        CudaDevice device = Gpu.Require();
        this.buffers = buffers;
        string[] names = [.. Enumerable.Range(0, dims.Count - DimBinding.FirstModelDim).Select(i => $"Dim{i}")];
        OneKernelProgram program = new(kernel, buffers, overlaps);
        ModelDefinition definition = new("test", names, [], [], 0, [() => program], ["Test"]);
        session = new CudaSession(MemoryPlan.Create(definition, program, dims, checkpointing: false, training: false), device);
        for (int i = 0; i < buffers.Length; i++)
        {
            byte[] poison = new byte[buffers[i].Elements * buffers[i].Format.Bytes()];
            Array.Fill(poison, (byte)0xFF);
            session.CopyFromHost(poison, this[i]);
        }
    }

    public CudaSession Session => session;

    public nint this[int buffer] => session.Buffer(buffer, 0);

    public void Upload<T>(int buffer, T[] values) where T : unmanaged
        => session.CopyFromHost(MemoryMarshal.AsBytes<T>(values), this[buffer]);

    public T[] Download<T>(int buffer) where T : unmanaged
    {
        byte[] bytes = new byte[buffers[buffer].Elements * buffers[buffer].Format.Bytes()];
        session.CopyToHost(this[buffer], bytes);
        return MemoryMarshal.Cast<byte, T>(bytes).ToArray();
    }

    /// <summary>Launches and waits.</summary>
    public void Launch(params nint[] args)
    {
        session.Launch(0, args);
        session.Synchronize();
    }

    /// <summary>Launches with the addresses of all buffers, in their order.</summary>
    public void LaunchOnBuffers() => Launch([.. Enumerable.Range(0, buffers.Length).Select(i => this[i])]);

    public void Dispose() => session.Dispose();

    private sealed class OneKernelProgram(KernelInfo kernel, TestBuffer[] buffers, bool overlaps) : ModelProgram
    {
        public override string Recipe => "Test";

        public override bool KernelsOverlap => overlaps;

        public override IReadOnlyList<KernelInfo> Kernels { get; } = [kernel];

        public override IReadOnlyList<BufferInfo> Buffers { get; } =
        [
            .. buffers.Select((buffer, i) => new BufferInfo(
                $"b{i}", BufferCategory.Activations, buffer.Format, _ => buffer.Elements, BufferScope.Single, _ => 1, 0, 0)),
        ];

        public override IReadOnlyList<ScaleInfo> Scales => [];

        public override ScalingInfo? Scaling => null;

        public override string PrintedIr => "";

        public override int LogitsBuffer => 0;

        public override long ChunkRows(DimBinding dims) => 1;

        public override void CastWeights(Session session) => throw new NotSupportedException();

        public override void Forward(Session session) => throw new NotSupportedException();

        public override void Loss(Session session, bool train) => throw new NotSupportedException();

        public override void Logits(Session session, long chunk) => throw new NotSupportedException();

        public override void Backward(Session session) => throw new NotSupportedException();

        public override void UpdateScales(Session session) => throw new NotSupportedException();

        public override void Optimize(Session session) => throw new NotSupportedException();

        public override void TrainMicroBatch(Session session) => throw new NotSupportedException();
    }
}
