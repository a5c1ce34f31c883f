using Fp8Lm.CommandLine;
using Fp8Lm.Training;
using TinyGpt;

return Fp8App.Run<Gpt>(args, new AppDefaults
{
    Size = "Tiny", Recipe = "TransformerEngine", MicroBatch = 16, Sequence = 128, Prompt = "The ",
    Training = new TrainerOptions { Steps = 400, LearningRate = 2e-3f, WarmupSteps = 20 },
});
