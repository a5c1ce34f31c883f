using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Execution;

public sealed class MemoryPlanTests
{
    [Fact]
    public void Requests_that_meet_never_share_and_others_do()
    {
        var random = new Random(5);
        for (int round = 0; round < 50; round++)
        {
            ArenaRequest[] requests = [.. Enumerable.Range(0, 40).Select(_ =>
            {
                int first = random.Next(100);
                return new ArenaRequest(random.Next(1, 5000), first, first + random.Next(20));
            })];

            ArenaLayout layout = ArenaLayout.Pack(requests);

            for (int i = 0; i < requests.Length; i++)
            {
                Assert.Equal(0, layout.Offsets[i] % ArenaLayout.Alignment);
                Assert.InRange(layout.Offsets[i] + requests[i].Bytes, 0, layout.Bytes);
                for (int j = 0; j < i; j++)
                {
                    bool apart = layout.Offsets[i] + requests[i].Bytes <= layout.Offsets[j] || layout.Offsets[j] + requests[j].Bytes <= layout.Offsets[i];
                    Assert.True(apart || !requests[i].Overlaps(requests[j]));
                }
            }

            long live = Enumerable.Range(0, 120).Max(t => requests.Where(r => r.FirstUse <= t && t <= r.LastUse).Sum(r => ArenaLayout.Align(r.Bytes)));
            Assert.InRange(layout.Bytes, live, live * 13 / 10);
            Assert.Equal(layout.Offsets, ArenaLayout.Pack(requests).Offsets);
        }
    }

    [Fact]
    public void Scopes_decide_how_many_instances_there_are()
    {
        var program = new PlannedProgram();
        MemoryPlan plain = Plan(program, checkpointing: false), recomputing = Plan(program, checkpointing: true);

        Assert.Equal([1L, 6, 7, 2, 6], plain.Buffers.Select(b => b.Instances));
        Assert.Equal([1L, 1, 7, 2, 6], recomputing.Buffers.Select(b => b.Instances));
        Assert.True(recomputing.TotalBytes < plain.TotalBytes);
        Assert.Equal(plain.TotalBytes, Enum.GetValues<BufferCategory>().Sum(plain.Bytes));
        Assert.Equal(plain.TotalBytes, Enum.GetValues<ArenaKind>().Sum(plain.Bytes));
    }

    [Fact]
    public void Decayed_parameters_come_first_and_instances_are_aligned()
    {
        MemoryPlan plan = Plan(new PlannedProgram(), checkpointing: false);

        // "bias" [10] has no decay, "weight" [6 layers x 10 x 10] has.
        Assert.Equal(new ParameterPlacement(0, 128, 6, 100), plan.Parameters[1]);
        Assert.Equal(new ParameterPlacement(768, 64, 1, 10), plan.Parameters[0]);
        Assert.Equal(768, plan.DecayedElements);
        Assert.Equal(832, plan.ParameterElements);
        Assert.Equal(610, plan.ParameterCount);
        Assert.Equal(plan.Bytes(BufferCategory.Gradients) * 3, plan.Bytes(BufferCategory.Optimizer));
    }

    /// <summary>"weight" is 6 x 128 elements, "bias" 64; what a product assigns in the first micro-batch is left out.</summary>
    [Theory]
    [InlineData(new int[0], new long[] { 0, 3328 })]
    [InlineData(new[] { 1 }, new long[] { 3072, 256 })]
    [InlineData(new[] { 0 }, new long[] { 0, 3072 })]
    [InlineData(new[] { 0, 1 }, new long[0])]
    public void A_step_clears_the_gradients_that_no_product_assigns(int[] assigned, long[] expected)
    {
        MemoryPlan plan = Plan(new PlannedProgram(assigned), checkpointing: false);

        Assert.Equal(expected, plan.ClearedGradients.SelectMany(r => new[] { r.Offset, r.Bytes }));
    }

    [Fact]
    public void Cleared_gradients_hold_nothing_until_a_backward_pass()
    {
        using var pool = new CpuPool(1);
        using var session = new CpuSession(Plan(new PlannedProgram(1), checkpointing: false), pool);
        Assert.True(session.GradientsHold);
        session.Write<float>([.. Enumerable.Repeat(1f, (int)session.ParameterElements)], session.GradientArena);

        session.ClearGradients();

        Assert.False(session.GradientsHold);
        float[] left = session.Read<float>(session.GradientArena, session.ParameterElements);
        Assert.Equal(Enumerable.Range(0, left.Length).Select(i => i < 768 ? 1f : 0f), left);
    }

    [Fact]
    public void A_plan_for_generation_has_neither_gradients_nor_moments()
    {
        var program = new PlannedProgram();
        MemoryPlan plan = MemoryPlan.Create(PlannedProgram.Definition, program, PlannedProgram.Dims, checkpointing: false, training: false);

        Assert.Equal(0, plan.Bytes(BufferCategory.Gradients));
        Assert.Equal(plan.Bytes(ArenaKind.Master), plan.Bytes(BufferCategory.Optimizer));
    }

    [Fact]
    public void A_model_beyond_every_machine_is_planned_like_any_other()
    {
        MemoryPlan plan = MemoryPlan.Create(PlannedProgram.Definition, new PlannedProgram(), new DimBinding(1024, 1L << 20, 1 << 16, 1000), checkpointing: false);

        Assert.InRange(plan.TotalBytes, 1L << 50, long.MaxValue);
        Assert.Throws<OverflowException>(
            () => MemoryPlan.Create(PlannedProgram.Definition, new PlannedProgram(), new DimBinding(1L << 30, 1L << 30, 1 << 16, 1000), checkpointing: false));
    }

    [Fact]
    public void Addresses_follow_scopes_and_stay_inside_their_arenas()
    {
        var program = new PlannedProgram();
        var layout = new SessionLayout(Plan(program, checkpointing: false), arena => (nint)arena << 32);

        Assert.Equal(layout.Buffer(0, 0), layout.Buffer(0, 5));
        Assert.Equal(layout.Buffer(3, 0), layout.Buffer(3, 4));
        Assert.NotEqual(layout.Buffer(3, 0), layout.Buffer(3, 1));
        Assert.Equal(6, Enumerable.Range(0, 6).Select(l => layout.Buffer(1, l)).Distinct().Count());
        Assert.Equal(7, Enumerable.Range(0, 7).Select(l => layout.Buffer(2, l)).Distinct().Count());
        Assert.Throws<ArgumentOutOfRangeException>(() => layout.Buffer(1, 6));
        Assert.Throws<ArgumentOutOfRangeException>(() => layout.Buffer(2, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => layout.Parameter(ArenaKind.Master, 1, 6));
        Assert.Throws<ArgumentOutOfRangeException>(() => layout.ScaleSlot(WorkspacePart.Scale, 0, 6));
        Assert.Equal(4 * 128, layout.Parameter(ArenaKind.Gradients, 1, 1) - layout.Parameter(ArenaKind.Gradients, 1, 0));
        Assert.Equal(6 * 4, layout.ScaleSlot(WorkspacePart.Amax, 1, 0) - layout.ScaleSlot(WorkspacePart.Amax, 0, 0));
    }

    [Fact]
    public void An_address_is_described_by_arena_and_what_may_be_meant()
    {
        var layout = new SessionLayout(Plan(new PlannedProgram(), checkpointing: false), arena => ((nint)arena + 1) << 32);

        Assert.EndsWith("Master + 512: blocks.1.weight + 0 [10 x 10]", layout.Describe(layout.Parameter(ArenaKind.Master, 1, 1)), StringComparison.Ordinal);
        Assert.Contains("carried[2] + 4 (160 F32)", layout.Describe(layout.Buffer(2, 2) + 4), StringComparison.Ordinal);
        Assert.EndsWith(": LabelWeights", layout.Describe(layout.Workspace(WorkspacePart.LabelWeights) + 8), StringComparison.Ordinal);
        Assert.Equal("12 (0xc)", layout.Describe(12));
    }

    [Fact]
    public void A_cpu_session_starts_with_zeros_and_unit_scales()
    {
        var program = new PlannedProgram();
        using var pool = new CpuPool(1);
        using var session = new CpuSession(Plan(program, checkpointing: false), pool);

        float[] scales = new float[7], maxima = new float[7];
        byte[] masters = new byte[session.ParameterElements * 4];
        session.CopyToHost(session.ScaleArena, System.Runtime.InteropServices.MemoryMarshal.AsBytes(scales.AsSpan()));
        session.CopyToHost(session.ScaleMaximumArena, System.Runtime.InteropServices.MemoryMarshal.AsBytes(maxima.AsSpan()));
        session.CopyToHost(session.MasterArena, masters);

        Assert.All(scales, s => Assert.Equal(1f, s));
        Assert.Equal([448f, 448f, 448f, 448f, 448f, 448f, 57344f], maxima);
        Assert.All(masters, b => Assert.Equal(0, b));
        Assert.Equal(0, session.MasterArena % ArenaLayout.Alignment);
    }

    [Fact]
    public void A_failing_kernel_is_named()
    {
        var program = new PlannedProgram();
        using var pool = new CpuPool(1);
        using var session = new CpuSession(Plan(program, checkpointing: false), pool);

        Assert.Contains("planned_bad", Assert.Throws<InvalidOperationException>(() => session.Launch(0, 1)).Message, StringComparison.Ordinal);
        Assert.Contains("takes 1 arguments and got 2", Assert.Throws<ArgumentException>(() => session.Launch(0, 1, 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void With_checks_a_kernel_that_writes_past_an_arena_is_named()
    {
        Environment.SetEnvironmentVariable("FP8LM_CHECK", "1");
        try
        {
            var program = new PlannedProgram();
            using var pool = new CpuPool(1);
            using var session = new CpuSession(Plan(program, checkpointing: false), pool);
            session.Launch(1, session.MasterArena + (nint)session.Plan.Bytes(ArenaKind.Master) - 4);

            var failure = Assert.Throws<InvalidOperationException>(() => session.Launch(1, session.MasterArena + (nint)session.Plan.Bytes(ArenaKind.Master)));

            Assert.StartsWith("Kernel planned_store wrote past the end of arena Master", failure.Message, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable("FP8LM_CHECK", null);
        }
    }

    private static MemoryPlan Plan(PlannedProgram program, bool checkpointing) =>
        MemoryPlan.Create(PlannedProgram.Definition, program, PlannedProgram.Dims, checkpointing);

    /// <summary>A program that is planned but never run.</summary>
    internal sealed unsafe class PlannedProgram(params int[] assigned) : ModelProgram
    {
        public static DimBinding Dims { get; } = new(2, 8, 10, 6);

        public static ModelDefinition Definition { get; } = new(
            "Planned", ["Width", "Layers"], [new ModelSizeInfo("Only", [10, 6])],
            [
                new ParameterInfo("bias", d => [d[2]], _ => 1, false, InitKind.Zeros, 0, Decay: false),
                new ParameterInfo("blocks.*.weight", d => [d[2], d[2]], d => d[3], true, InitKind.Normal, 0.02f, Decay: true),
            ],
            -1, [() => new PlannedProgram()], ["Fp32"]);

        public override string Recipe => "Fp32";

        public override IReadOnlyList<int> AssignedGradients => assigned;

        public override IReadOnlyList<KernelInfo> Kernels { get; } =
        [
            new("planned_bad", KernelKind.Row, "", (_, _, _) => throw new DivideByZeroException(), ["a"], new RowGeometry(d => 1, d => 1)),
            new("planned_store", KernelKind.Row, "", (_, args, _) => *(float*)args[0] = 1, ["a"], new RowGeometry(d => 1, d => 1)),
        ];

        public override IReadOnlyList<BufferInfo> Buffers { get; } =
        [
            new("single", BufferCategory.Activations, ElementFormat.F32, d => d.Tokens * d[2], BufferScope.Single, _ => 1, 0, 3),
            new("saved", BufferCategory.Activations, ElementFormat.BF16, d => d.Tokens * d[2], BufferScope.PerLayer, d => d[3], 2, 9),
            new("carried", BufferCategory.Activations, ElementFormat.F32, d => d.Tokens * d[2], BufferScope.Carried, d => d[3], 0, 9),
            new("gradient", BufferCategory.Workspace, ElementFormat.F32, d => d.Tokens * d[2], BufferScope.PingPong, d => d[3], 5, 9),
            new("weight8", BufferCategory.Weights, ElementFormat.E4M3, d => d[2] * d[2], BufferScope.PerLayerAlways, d => d[3], 0, 9),
        ];

        public override IReadOnlyList<ScaleInfo> Scales { get; } = [new("w", ElementFormat.E4M3, d => d[3]), new("g", ElementFormat.E5M2, _ => 1)];

        public override ScalingInfo? Scaling { get; } = new(true, 16, false, 0);

        public override string PrintedIr => "";

        public override int LogitsBuffer => 0;

        public override long ChunkRows(DimBinding dims) => 8;

        public override void CastWeights(Session session) => throw new NotSupportedException();

        public override void Forward(Session session) => throw new NotSupportedException();

        public override void Loss(Session session, bool train) => throw new NotSupportedException();

        public override void Logits(Session session, long chunk) => throw new NotSupportedException();

        public override void Backward(Session session) => throw new NotSupportedException();

        public override void Optimize(Session session) => throw new NotSupportedException();

        public override void UpdateScales(Session session) => throw new NotSupportedException();

        public override void TrainMicroBatch(Session session) => throw new NotSupportedException();
    }
}
