using Fp8Lm.CommandLine;
using Fp8Lm.Training;
using TinyGpt;

return Fp8App.Run<Gpt>(args, new AppDefaults
{
    Size = "Bytes125M", Recipe = "TransformerEngine", MicroBatch = 32, Sequence = 1024, ValidationFraction = 0.02,
    Training = new TrainerOptions { Steps = 9200, LearningRate = 6e-4f, WarmupSteps = 200, EvaluationInterval = 500, EvaluationBatches = 96, CheckpointInterval = 0 },
});
