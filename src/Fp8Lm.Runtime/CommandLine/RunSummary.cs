using System;
using System.IO;
using System.Text;
using System.Text.Json;
using Fp8Lm.Checkpoints;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.CommandLine;

/// <summary>The JSON object of <c>--summary</c>.</summary>
internal static class RunSummary
{
    public static void Write(
        string? path, ModelDefinition definition, ModelSizeInfo size, ModelProgram program, Session session, TrainingResult result, string checkpoint)
    {
        if (path is null)
        {
            return;
        }

        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("model", definition.Name);
            json.WriteString("size", size.Name);
            json.WriteString("recipe", program.Recipe);
            json.WriteString("device", session.Device);
            json.WriteNumber("parameters", session.Plan.ParameterCount);
            json.WriteNumber("micro_batch", session.Dims[DimBinding.MicroBatch]);
            json.WriteNumber("sequence", session.Dims[DimBinding.Sequence]);
            json.WriteNumber("steps", result.Steps);
            json.WriteNumber("tokens", result.Tokens);
            WriteFinite(json, "seconds", result.Seconds);
            WriteFinite(json, "tokens_per_s", result.TokensPerSecond);
            WriteFinite(json, "train_loss", result.TrainLoss);
            WriteFinite(json, "val_loss", result.ValidationLoss);
            json.WriteNumber("peak_bytes", result.PeakBytes);
            json.WriteNumber("skipped_steps", result.SkippedSteps);
            json.WriteStartArray("rewinds");
            foreach (Rewind rewind in result.Rewinds)
            {
                json.WriteStartObject();
                json.WriteNumber("step", rewind.Step);
                json.WriteNumber("onset", rewind.Onset);
                json.WriteNumber("checkpoint", rewind.Checkpoint);
                json.WriteNumber("first_batch", rewind.FirstBatch);
                json.WriteNumber("last_batch", rewind.LastBatch);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteBoolean("interrupted", result.Interrupted);
            json.WriteString("checkpoint", checkpoint);
            json.WriteEndObject();
        }

        AtomicFile.WriteText(path, Encoding.UTF8.GetString(text.ToArray()) + "\n");
    }

    /// <summary>JSON has no NaN; what is not known is null.</summary>
    private static void WriteFinite(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
