using System;
using System.Linq;
using System.Reflection;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Parity.Tests.Reference;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>A generated program on the CPU, or on a session of the caller's, with the numbers of a <see cref="Problem"/>.</summary>
internal sealed class ModelRun : IDisposable
{
    private readonly Problem problem;
    private readonly IDisposable? pool;
    private readonly bool fp8;

    public ModelRun(Problem problem, string recipe, bool checkpointing = false, int workers = 2)
        : this(problem, recipe, checkpointing, new CpuPool(workers), null)
    {
    }

    public ModelRun(Problem problem, string recipe, bool checkpointing, Func<MemoryPlan, Session> open)
        : this(problem, recipe, checkpointing, null, open)
    {
    }

    private ModelRun(Problem problem, string recipe, bool checkpointing, CpuPool? pool, Func<MemoryPlan, Session>? open)
    {
        this.pool = pool;
        this.problem = problem;
        Definition = problem.Definition ?? DefinitionOf(problem.Spec.Name);
        Program = Definition.Program(recipe);
        DimBinding dims = new([problem.MicroBatch, problem.Sequence, .. problem.Size.Values]);
        MemoryPlan plan = MemoryPlan.Create(Definition, Program, dims, checkpointing);
        Session = open is null ? new CpuSession(plan, pool!) : open(plan);
        fp8 = Program.Scaling is not null;
        LoadWeights();
        LoadBatch(problem.Tokens, problem.Labels, problem.LabelWeights);
        Session.WriteState(problem.State);
        Program.CastWeights(Session);
        Calibrate();
    }

    public ModelDefinition Definition { get; }

    public ModelProgram Program { get; }

    public Session Session { get; }

    public static ModelDefinition DefinitionOf(string model)
    {
        Type type = typeof(Models.Gpt2).Assembly.GetType("Fp8Lm.Parity.Models." + model)!;
        return (ModelDefinition)type.GetProperty("Definition", BindingFlags.Public | BindingFlags.Static)!.GetValue(null)!;
    }

    /// <summary>Forward, loss and backward of the micro-batch, <paramref name="times"/> times over, on cleared gradients; the mean loss.</summary>
    public double Train(int times = 1)
    {
        Session.WriteState(problem.State);
        Session.ClearGradients();
        for (int i = 0; i < times; i++)
        {
            Program.TrainMicroBatch(Session);
        }

        StepState state = Session.ReadState();
        return state.LossSum / state.WeightSum;
    }

    /// <summary>The same once, on a session that stands before this one's.</summary>
    public void Train(Session session)
    {
        Session.WriteState(problem.State);
        Session.ClearGradients();
        Program.TrainMicroBatch(session);
    }

    /// <summary>The mean loss in evaluation.</summary>
    public double Evaluate()
    {
        Session.WriteState(problem.State with { Training = 0 });
        Program.Forward(Session);
        Program.Loss(Session, train: false);
        StepState state = Session.ReadState();
        return state.LossSum / state.WeightSum;
    }

    /// <summary>Logits of all tokens, chunk by chunk.</summary>
    public double[] Logits()
    {
        Session.WriteState(problem.State);
        Program.Forward(Session);
        long chunk = Program.ChunkRows(Session.Dims), vocabulary = Trainer.Vocabulary(Definition, Session.Dims);
        double[] logits = new double[problem.TokenCount * vocabulary];
        for (long first = 0; first < problem.TokenCount; first += chunk)
        {
            Program.Logits(Session, first / chunk);
            long rows = Math.Min(chunk, problem.TokenCount - first);
            nint at = Session.Buffer(Program.LogitsBuffer, 0);
            float[] values = Program.Buffers[Program.LogitsBuffer].Format == ElementFormat.F32
                ? Session.Read<float>(at, rows * vocabulary)
                : System.Array.ConvertAll(Session.Read<ushort>(at, rows * vocabulary), Numerics.BFloat16.ToSingle);
            for (long i = 0; i < values.Length; i++)
            {
                logits[(first * vocabulary) + i] = values[i];
            }
        }

        return logits;
    }

    /// <summary>Gradients by parameter, layer and element, without the loss scale.</summary>
    public double[][][] Gradients() => [.. problem.Weights.Select((p, index) => p.Select((l, layer) =>
        System.Array.ConvertAll(Session.ReadParameter(ArenaKind.Gradients, index, layer), v => v / LossScale)).ToArray())];

    private double LossScale => Program.LossScaling is null ? 1 : Session.ReadLossScale().Scale;

    /// <summary>The bytes of all gradients.</summary>
    public byte[] GradientBytes() => Session.Read<byte>(Session.GradientArena, Session.Plan.Bytes(ArenaKind.Gradients));

    /// <summary>Fills all gradients with NaN, as a step that went wrong leaves them.</summary>
    public void PoisonGradients()
    {
        for (int p = 0; p < problem.Weights.Length; p++)
        {
            for (int layer = 0; layer < problem.Weights[p].Length; layer++)
            {
                byte[] bytes = new byte[problem.Weights[p][layer].Length * Program.FormatsOf(p).Gradient.Bytes()];
                System.Array.Fill(bytes, (byte)0xFF);
                Session.Write<byte>(bytes, Session.Gradient(p, layer));
            }
        }
    }

    public void LoadBatch(int[] tokens, int[] labels, float[] weights)
    {
        Session.Write<int>(tokens, Session.Tokens);
        Session.Write<int>(labels, Session.Labels);
        Session.Write<float>(weights, Session.LabelWeights);
    }

    public void Dispose()
    {
        Session.Dispose();
        pool?.Dispose();
    }

    private void LoadWeights()
    {
        for (int p = 0; p < problem.Weights.Length; p++)
        {
            for (int layer = 0; layer < problem.Weights[p].Length; layer++)
            {
                Session.WriteParameter(ArenaKind.Master, p, layer, System.Array.ConvertAll(problem.Weights[p][layer], v => (float)v));
            }
        }
    }

    /// <summary>As the trainer does before step 1: the scales come to fit this very batch.</summary>
    private void Calibrate()
    {
        for (int pass = 0; fp8 && pass < 3; pass++)
        {
            Program.TrainMicroBatch(Session);
            Program.UpdateScales(Session);
            Program.CastWeights(Session);
        }
    }
}
