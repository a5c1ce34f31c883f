using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>
/// Trains a model. The numbers of a run are a function of model, sizes, recipe, options and data: step n reads sequences by their number and
/// random bits by counter, so a run that is interrupted and resumed writes the same bytes as one that is not.
/// </summary>
public sealed class Trainer
{
    private readonly ModelDefinition definition;
    private readonly ModelProgram program;
    private readonly Session session;
    private readonly TrainerOptions options;
    private readonly IBatchSource training;
    private readonly Evaluator? evaluator;
    private readonly RunFolder? folder;
    private readonly ITrainingObserver observer;
    private readonly StepBatch batch;
    private readonly StepClock clock;
    private readonly RunGuards guards;
    private readonly Queue<long> begun = new();
    private readonly ReplicaGradients? replicas;
    private StepRunner? runner;
    private long updates;
    private long tokens;
    private bool started;

    /// <summary>Creates a trainer; <see cref="Start()"/> or <see cref="Resume"/> comes before <see cref="Run"/>.</summary>
    /// <param name="definition">The model.</param>
    /// <param name="program">One of its recipes.</param>
    /// <param name="session">A session of that program.</param>
    /// <param name="options">Options; checked here.</param>
    /// <param name="training">Training sequences.</param>
    /// <param name="validation">Held-out sequences; null: no evaluation.</param>
    /// <param name="folder">Where checkpoints go; null: none.</param>
    /// <param name="observer">Told about steps; null: nobody.</param>
    public Trainer(
        ModelDefinition definition, ModelProgram program, Session session, TrainerOptions options,
        IBatchSource training, IBatchSource? validation, RunFolder? folder, ITrainingObserver? observer)
    {
        ArgumentNullException.ThrowIfNull(definition);
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(training);
        options.Validate();
        this.definition = definition;
        this.program = program;
        this.session = session;
        this.options = options;
        this.training = training;
        this.folder = folder;
        this.observer = observer ?? new SilentObserver();
        guards = new RunGuards(options);
        if (options.SpikeGuard == SpikePolicy.Rewind && folder is null)
        {
            throw new ArgumentException("SpikeGuard is Rewind, which goes back to a checkpoint, but there is no folder for checkpoints. Give one, or choose another SpikeGuard.", nameof(folder));
        }

        if (options.Reduction is not null && !ReplicaGradients.StoresFp8(program))
        {
            throw new ArgumentException($"Reduction says how FP8 gradients of replicas are reduced, but recipe {program.Recipe} stores no gradients in FP8; those are averaged in F32. Leave Reduction null, or use a recipe with FP8 gradients.", nameof(options));
        }

        CheckReplicas(options, session.Dims, training.SequencesPerEpoch);
        long vocabulary = Vocabulary(definition, session.Dims);
        batch = new StepBatch(session.Dims, options.MicroBatches, vocabulary);
        replicas = options.Replicas == 1 ? null : new ReplicaGradients(session, options.Replicas, options.ReductionOrder, options.Reduction ?? new());
        evaluator = validation is null ? null : new Evaluator(program, session, validation, options.EvaluationBatches, vocabulary);
        clock = new StepClock(session.Dims.Tokens * options.MicroBatches);
    }

    /// <summary>Completed steps.</summary>
    public long Step { get; private set; }

    /// <summary>The gradients of simulated replicas; null without.</summary>
    internal ReplicaGradients? Replicas => replicas;

    /// <summary>Replicas have different data in a step.</summary>
    /// <exception cref="DataException">There are not enough sequences for that.</exception>
    internal static void CheckReplicas(TrainerOptions options, DimBinding dims, long sequences)
    {
        long needed = dims[DimBinding.MicroBatch] * options.MicroBatches;
        if (options.Replicas > 1 && needed > sequences)
        {
            throw new DataException(FormattableString.Invariant(
                $"A step of {options.Replicas} replicas reads {needed} different sequences ({options.Replicas} x {options.Accumulation} micro-batches x {dims[DimBinding.MicroBatch]}); the data has {sequences}, so that replicas would see the same. Use more data, shorter sequences, or fewer replicas."));
        }
    }

    /// <summary>Tokens that a model can embed.</summary>
    public static long Vocabulary(ModelDefinition definition, DimBinding dims)
    {
        ArgumentNullException.ThrowIfNull(definition);
        return definition.VocabularyParameter < 0 ? int.MaxValue : definition.Parameters[definition.VocabularyParameter].Shape(dims)[0];
    }

    /// <summary>Begins a fresh run: initial weights and, with FP8, first scales.</summary>
    public void Start()
    {
        ParameterInitializer.Initialize(session, definition, options.Seed);
        Start(weights: null);
    }

    /// <summary>Begins a fresh run from weights that <paramref name="weights"/> writes (all instances of all parameters).</summary>
    public void Start(Action<Session>? weights)
    {
        session.ResetLossScale();
        weights?.Invoke(session);
        program.CastWeights(session);
        Calibrate();
        started = true;
    }

    /// <summary>Goes on from the newest checkpoint of a folder that can be used; says so when that is not the newest of all.</summary>
    /// <returns>False when the folder has no checkpoint: the run then has to be started afresh.</returns>
    /// <exception cref="CheckpointException">No checkpoint can be used.</exception>
    public bool Resume(string folderPath)
    {
        CheckpointState? state = null;
        string? path = RunFolder.LoadNewest(folderPath, p => state = TrainingCheckpoint.Load(p, session, definition, program), observer.OnMessage);
        if (path is null || state is null)
        {
            return false;
        }

        foreach (string difference in RunSettings.Differences(state.Settings, Settings()))
        {
            observer.OnMessage($"{Path.GetFileName(path)} was trained with {difference}; the run goes on, but not as it would have without the break.");
        }

        if (Continue(path, state) is { } mu)
        {
            observer.OnMessage(mu);
        }

        started = true;
        return true;
    }

    /// <summary>Takes over a checkpoint whose tensors have been loaded; a sentence about factors of the gradient reduction that are not as they were, else null.</summary>
    private string? Continue(string path, CheckpointState state)
    {
        Step = state.Step;
        updates = state.Updates;
        tokens = state.Tokens;
        guards.Load(state.Guards);
        program.CastWeights(session);
        if (!TrainingCheckpoint.IsOf(state, program))
        {
            observer.OnMessage($"{Path.GetFileName(path)} was trained with recipe {state.Recipe}; weights and moments are converted for {program.Recipe}, and scales start anew.");
            Calibrate();
        }

        string? mu = replicas is not null ? replicas.Restore(state.Reduction)
            : state.Reduction is { } left ? $"has factors of gradient scaling '{left.Mode}' over {left.Ranks} replicas; there are none now, so they are dropped."
            : null;
        return mu is null ? null : $"{Path.GetFileName(path)} {mu}";
    }

    /// <summary>Trains up to <see cref="TrainerOptions.Steps"/>. Cancellation ends the run after the current step, with a checkpoint.</summary>
    /// <exception cref="TrainingException">Something is not finite, or the loss has a spike, and the policy is to stop or has come to its limit.</exception>
    /// <exception cref="IOException">The final checkpoint cannot be written.</exception>
    public TrainingResult Run(CancellationToken cancellation = default)
    {
        if (!started)
        {
            throw new InvalidOperationException($"Call {nameof(Start)} or {nameof(Resume)} first.");
        }

        long evaluated = -1, saved = -1;
        double? validationLoss = null;
        runner ??= replicas is null ? session.CreateStepRunner(program, options.MicroBatches) : new ImmediateStepRunner(session, program, replicas);
        if (options.NumericsInterval > 0 && program.Casts.Count > 0)
        {
            // What has to be compiled for it is compiled now, and not inside a step.
            session.CountsCasts = true;
            session.CountsCasts = false;
        }

        while (QueueSteps(cancellation))
        {
            if (CompleteStep() is { } spike && GoBack(spike))
            {
                (evaluated, saved) = (-1, TrySave() ? Step : -1);
                continue;
            }

            if (evaluator is not null && options.EvaluationInterval > 0 && Step % options.EvaluationInterval == 0 && !cancellation.IsCancellationRequested)
            {
                (validationLoss, evaluated) = (Evaluate(), Step);
            }

            if (options.CheckpointInterval > 0 && Step % options.CheckpointInterval == 0 && TrySave())
            {
                saved = Step;
            }
        }

        if (folder is not null && saved != Step)
        {
            Save();
        }

        if (evaluator is not null && evaluated != Step && !cancellation.IsCancellationRequested)
        {
            validationLoss = Evaluate();
        }

        return new TrainingResult(
            Step, clock.Tokens, clock.Seconds, clock.AverageRate, clock.RecentLoss, validationLoss, session.Plan.TotalBytes, Interrupted: Step < options.Steps)
        {
            SkippedSteps = guards.Skipped, Rewinds = [.. guards.Rewinds],
        };
    }

    /// <summary>Mean loss of the held-out part; leaves no trace in the state of training.</summary>
    /// <exception cref="InvalidOperationException">There is no held-out part.</exception>
    public double Evaluate()
    {
        double loss = (evaluator ?? throw new InvalidOperationException("The trainer has no held-out data.")).Run();
        observer.OnEvaluation(Step, loss);
        return loss;
    }

    /// <summary>Names and values of what decides the numbers of the run, besides model, sizes and recipe.</summary>
    internal IReadOnlyDictionary<string, string> Settings() => RunSettings.Describe(options, session, training.Fingerprint);

    /// <summary>
    /// Queues as many steps as the device takes, but none behind a step after which weights are looked at; false when there is nothing left to do.
    /// After a cancellation those on their way are the last.
    /// </summary>
    private bool QueueSteps(CancellationToken cancellation)
    {
        while (runner!.Pending < runner.Depth && Step + runner.Pending < options.Steps && !cancellation.IsCancellationRequested
            && (runner.Pending == 0 || !LooksAtWeights(Step + runner.Pending)))
        {
            long step = Step + runner.Pending + 1;
            begun.Enqueue(StepClock.Now);
            ReadBatch(step);
            if (replicas is not null)
            {
                replicas.Measure = options.ReductionInterval > 0 && step % options.ReductionInterval == 0;
            }

            runner.Enqueue(StateOf(step), batch, Counts(step));
        }

        return runner.Pending > 0;
    }

    private bool Counts(long step) => options.NumericsInterval > 0 && program.Casts.Count > 0 && step % options.NumericsInterval == 0;

    private bool LooksAtWeights(long step) =>
        (evaluator is not null && options.EvaluationInterval > 0 && step % options.EvaluationInterval == 0)
        || (folder is not null && options.CheckpointInterval > 0 && step % options.CheckpointInterval == 0);

    /// <summary>Completes the oldest step; a sentence about a spike of the loss that ends with it, else null.</summary>
    private string? CompleteStep()
    {
        long step = Step + 1;
        StepState state = runner!.Complete();
        IReadOnlyList<CastReport> casts = runner.Casts.IsEmpty ? [] : CastReport.Of(step, session.Plan, runner.Casts);
        double loss = state.WeightSum <= 0 ? 0 : state.LossSum / state.WeightSum;    // NaN stays
        clock.Add(begun.Dequeue(), loss);

        bool finite = state.SkipStep == 0 && double.IsFinite(loss) && float.IsFinite(state.GradientNorm);

        // A loss scale that was too large is found out by trying: such steps are no sign of trouble until the scale is 1.
        bool overflow = !finite && double.IsFinite(state.LossSum) && state.DynamicLossScale > 1f;
        guards.Count(!finite && !overflow);
        if (overflow)
        {
            Overflowed(step, state);
        }
        else if (!finite)
        {
            Refuse(step, loss, state);
        }

        Step = step;
        updates += state.SkipStep == 0 ? 1 : 0;
        tokens += session.Dims.Tokens * options.MicroBatches;
        observer.OnStep(new StepReport(step, loss, state.LearningRate, state.GradientNorm, tokens, clock.Seconds, clock.RecentRate)
        {
            LossScale = program.LossScaling is null ? null : state.DynamicLossScale,
        });
        if (replicas is { Measure: true })
        {
            observer.OnReduction(step, replicas.Numerics);
        }

        if (casts.Count > 0)
        {
            foreach (CastReport report in casts)
            {
                NumericsMetrics.Publish(report);
            }

            observer.OnNumerics(casts);
        }

        return finite && state.WeightSum > 0 && options.SpikeGuard != SpikePolicy.Off && guards.Spikes.Observe(step, loss) is { } limit
            ? FormattableString.Invariant(
                $"Step {step}: the loss has a spike. It is {loss:G5}, and has been above {limit:G5} ({options.SpikeThreshold} deviations over the median of {guards.Spikes.Losses.Count} losses) for {options.SpikeSteps} steps, since step {guards.Spikes.Onset}.")
            : null;
    }

    /// <summary>Does what the policy says about a spike; whether training is now at an earlier step.</summary>
    private bool GoBack(string spike)
    {
        if (options.SpikeGuard == SpikePolicy.Report)
        {
            observer.OnMessage(spike);
            guards.Spikes.Restore([], 0, 0);
            return false;
        }

        long step = Step, onset = guards.Spikes.Onset, good = guards.LastGoodStep(step), leftOut = guards.LeftOut;
        IReadOnlyList<Rewind> before = [.. guards.Rewinds];
        string? name = folder is null ? null : RunFolder.NewestUpTo(folder.Path, good);
        string from = name is null
            ? $"There is no checkpoint from step {Math.Max(1, good)} or before; a smaller --save-every makes them."
            : $"The last checkpoint from well before it is {Path.GetFileName(name)}.";
        if (options.SpikeGuard == SpikePolicy.Stop || name is null || before.Count >= options.MaxRewinds)
        {
            string why = options.SpikeGuard == SpikePolicy.Rewind && before.Count >= options.MaxRewinds ? $" Training went back {before.Count} times already (--max-rewinds {options.MaxRewinds})." : "";
            throw new TrainingException($"{spike}{why} {from} Training stops. A lower --lr, a longer --warmup, a smaller --clip or --spike-guard rewind may help.");
        }

        runner!.Discard();
        begun.Clear();
        CheckpointState? state = null;
        string path = RunFolder.LoadNewest(folder!.Path, p => state = TrainingCheckpoint.Load(p, session, definition, program), observer.OnMessage, good)!;
        Continue(path, state!);
        var rewind = new Rewind(step, onset, Step, Step + leftOut + 1, step + leftOut + options.SpikeSkip);
        guards.Add(before, rewind);
        folder.DeleteAfter(Step);
        observer.OnRewind(rewind);
        observer.OnMessage(FormattableString.Invariant(
            $"{spike} Training goes back to {Path.GetFileName(path)} and leaves out batches {rewind.FirstBatch} to {rewind.LastBatch} (rewind {guards.Rewinds.Count} of at most {options.MaxRewinds})."));
        return true;
    }

    private void ReadBatch(long step)
    {
        long perStep = session.Dims[DimBinding.MicroBatch] * options.MicroBatches;
        batch.Read(training, (step - 1 + guards.LeftOut) * perStep);
    }

    /// <summary>Runs the first micro-batch until every FP8 tensor has a scale that fits it; otherwise step 1 would round its gradients to zero.</summary>
    private void Calibrate()
    {
        if (program.Scaling is null || (session.ScaleSlots == 0 && session.Plan.GradientHistory == 0))
        {
            return;
        }

        ReadBatch(1);
        session.WriteState(StateOf(1));
        batch.Load(session, 0);
        for (int pass = 0; pass < options.CalibrationPasses; pass++)
        {
            session.ClearGradients();
            program.TrainMicroBatch(session);
            program.UpdateScales(session);
            program.CastWeights(session);
        }

        GradientScales.MakeRoom(session, options.Accumulation);

        // What has been queued here is not the first step's time.
        session.Synchronize();
    }

    /// <summary>The host's part of a step; those before it that are on their way count as updates, as they will unless this one is queued again.</summary>
    private StepState StateOf(long step) => new()
    {
        LearningRate = LearningRateSchedule.Rate(options, step),
        Beta1 = options.Beta1,
        Beta2 = options.Beta2,
        Epsilon = options.Epsilon,
        WeightDecay = options.WeightDecay,
        BiasCorrection1 = (float)(1 - Math.Pow(options.Beta1, updates + step - Step)),
        BiasCorrection2 = (float)(1 - Math.Pow(options.Beta2, updates + step - Step)),
        MaxGradientNorm = options.MaxGradientNorm,
        // The mean over replicas is the gradient of the whole step, whatever the weights of their labels.
        LossScale = batch.WeightSum > 0 ? (float)(options.Replicas / batch.WeightSum) : 0,
        SeedLow = (uint)options.Seed,
        SeedHigh = (uint)(options.Seed >> 32),
        MicroStep = MicroStep(step, 0),
        Training = 1,
    };

    private uint MicroStep(long step, int micro) => unchecked((uint)(((step - 1) * options.MicroBatches) + micro));

    /// <summary>The loss scale was too large; the device has halved it. Steps queued behind have changed nothing, and are queued again with the right number of updates.</summary>
    private void Overflowed(long step, StepState state)
    {
        runner!.Discard();
        begun.Clear();
        observer.OnMessage(FormattableString.Invariant(
            $"Step {step}: the gradient overflows at loss scale {state.DynamicLossScale}. The step is skipped; the loss scale is {session.ReadLossScale().Scale} from now on."));
    }

    private void Refuse(long step, double loss, StepState state)
    {
        string what = !double.IsFinite(loss) ? $"the loss is not finite ({loss})"
            : !float.IsFinite(state.GradientNorm) ? $"the gradient is not finite (norm {state.GradientNorm})"
            : "an amax of what is cast to FP8 is not finite";
        // Steps queued behind this one have changed nothing but gradients and activations; their turn comes again.
        bool stale = runner!.Pending > 0;
        runner.Discard();
        begun.Clear();
        ReadBatch(step);
        var search = new NonFiniteSearch(definition, program, session);
        string where = search.Describe(options.MicroBatches, stale, micro =>
        {
            session.WriteState(StateOf(step) with { MicroStep = MicroStep(step, micro) });
            batch.Load(session, micro);
        });
        string message = FormattableString.Invariant($"Step {step}: {what}. {where}");
        if (options.NonFinite == NonFinitePolicy.Stop)
        {
            throw new TrainingException(
                message + " Training stops; the last checkpoint is from before this step. A lower --lr, a longer --warmup or --non-finite skip may help.");
        }

        if (guards.SkippedInRow >= options.MaxSkippedSteps)
        {
            throw new TrainingException(FormattableString.Invariant(
                $"{message} {guards.SkippedInRow} steps in a row were skipped; at most {options.MaxSkippedSteps - 1} may be (--max-skipped {options.MaxSkippedSteps}). Training stops; weights and checkpoints are those from before step {step - guards.SkippedInRow + 1}. Look at the tensor named above, or try a lower --lr or other data."));
        }

        observer.OnMessage(message + " The step is skipped.");
    }

    private bool TrySave()
    {
        if (folder is null)
        {
            return false;
        }

        try
        {
            Save();
            return true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Hours of training are worth more than one checkpoint: the next interval tries again, and the last save reports failure for good.
            observer.OnMessage($"Could not save after step {Step}: {failure.Message} Earlier checkpoints are as they were; training goes on.");
            return false;
        }
    }

    private void Save()
    {
        var state = new CheckpointState
        {
            Model = definition.Name,
            Recipe = program.Recipe,
            Dims = TrainingCheckpoint.ModelDims(definition, session.Dims),
            Step = Step,
            Updates = updates,
            Tokens = tokens,
            Settings = Settings(),
            Guards = guards.Save(),
            Reduction = replicas?.Save(),
        };
        string path = folder!.CheckpointPath(Step);
        TrainingCheckpoint.Save(path, session, definition, program, state);
        folder.Keep(options.KeepCheckpoints, Step, options.SpikeGuard is SpikePolicy.Stop or SpikePolicy.Rewind ? guards.LastGoodStep(Step) : -1);
        observer.OnCheckpoint(path);
    }
}
