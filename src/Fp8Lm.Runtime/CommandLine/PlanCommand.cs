using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using Fp8Lm.Execution;
using Fp8Lm.Execution.Cost;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>plan</c>: memory by category, and where FP8 is predicted to pay. All sizes and recipes unless the user names some.</summary>
internal sealed class PlanCommand(ModelDefinition definition, AppOptions options, IAnsiConsole console)
{
    private static readonly BufferCategory[] categories = Enum.GetValues<BufferCategory>();

    public int Run(ParseResult parsed)
    {
        string? size = parsed.GetValue(options.SizeArgument) ?? Given(parsed, options.Size);
        string? recipe = Given(parsed, options.Recipe);
        ModelSizeInfo[] sizes = size is null ? definition.Sizes : [ModelChoice.Size(definition, size)];
        ModelProgram[] programs = recipe is null ? [.. definition.Recipes.Select(definition.Program)] : [ModelChoice.Program(definition, recipe)];
        (long microBatch, long sequence) = (parsed.GetValue(options.MicroBatch), parsed.GetValue(options.Sequence));
        bool checkpointing = parsed.GetValue(options.Checkpointing);
        List<(ModelSizeInfo Size, MemoryPlan Plan)> plans =
        [
            .. from s in sizes
               from p in programs
               select (s, MemoryPlan.Create(definition, p, ModelChoice.Bind(s, microBatch, sequence), checkpointing || p.PrefersCheckpointing)),
        ];
        if (parsed.GetValue(options.Json))
        {
            console.Profile.Out.Writer.WriteLine(Json(plans));
        }
        else
        {
            console.WriteLine(FormattableString.Invariant(
                $"{definition.Name}, micro-batch {microBatch} x {sequence} tokens{(checkpointing ? ", activation checkpointing" : "")}"));
            foreach (IGrouping<ModelSizeInfo, MemoryPlan> group in plans.GroupBy(p => p.Size, p => p.Plan))
            {
                console.WriteLine();
                console.WriteLine($"{group.Key.Name}, {Units.Count(group.First().ParameterCount)} parameters");
                console.Write(Table(group));
                foreach (MemoryPlan plan in group)
                {
                    WriteLinears(plan, table: size is not null);
                }
            }
        }

        return Fp8App.Success;
    }

    /// <summary>The linears of a recipe with FP8, each with its time in FP8 and in BF16, and a sentence for each that FP8 makes slower.</summary>
    private void WriteLinears(MemoryPlan plan, bool table)
    {
        IReadOnlyList<LinearCost> costs = LinearCost.Of(plan.Program, plan.Dims);
        if (table && costs.Count > 0)
        {
            console.WriteLine();
            console.WriteLine($"Linears of {plan.Program.Recipe}: predicted microseconds of a layer, forward and backward, on an H100 or H200");
            console.Write(Table(costs));
        }

        foreach (string sentence in Fp8Advice.Sentences(plan.Program, plan.Dims))
        {
            console.WriteLine($"{plan.Program.Recipe}: {sentence}");
        }
    }

    private static Table Table(IEnumerable<LinearCost> costs)
    {
        Table table = new Table().Border(TableBorder.None).AddColumn(Column("linear")).AddColumn(Column("layers").RightAligned());
        foreach (string name in (ReadOnlySpan<string>)["FP8", "of it casts", "BF16"])
        {
            table.AddColumn(Column(name).RightAligned());
        }

        table.AddColumn(Column("runs in").PadRight(0));
        foreach (LinearCost cost in costs)
        {
            string[] cells = [Number(cost.Fp8), Number(cost.Casts), Number(cost.Bf16), cost.Linear.Fp8 ? "FP8" : "BF16"];
            table.AddRow([cost.Linear.Weight, cost.Layers.ToString(CultureInfo.InvariantCulture), .. cells]);
        }

        return table;

        static string Number(double microseconds) => microseconds.ToString("F1", CultureInfo.InvariantCulture);
    }

    private static string? Given(ParseResult parsed, Option<string> option) => parsed.GetResult(option) is { Implicit: false } ? parsed.GetValue(option) : null;

    /// <summary>A table without borders, so that the longest recipe names fit eighty columns.</summary>
    private static Table Table(IEnumerable<MemoryPlan> plans)
    {
        Table table = new Table().Border(TableBorder.None).AddColumn(Column("recipe"));
        foreach (BufferCategory category in categories)
        {
            table.AddColumn(Column(Name(category)).RightAligned());
        }

        table.AddColumn(Column("total").RightAligned().PadRight(0));
        foreach (MemoryPlan plan in plans)
        {
            table.AddRow([plan.Program.Recipe, .. categories.Select(c => Units.Bytes(plan.Bytes(c))), Units.Bytes(plan.TotalBytes)]);
        }

        return table;
    }

    private static TableColumn Column(string name) => new TableColumn(name).NoWrap().PadLeft(0).PadRight(1);

    private static string Json(List<(ModelSizeInfo Size, MemoryPlan Plan)> plans)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartArray();
            foreach ((ModelSizeInfo size, MemoryPlan plan) in plans)
            {
                json.WriteStartObject();
                json.WriteString("size", size.Name);
                json.WriteString("recipe", plan.Program.Recipe);
                json.WriteNumber("parameters", plan.ParameterCount);
                json.WriteNumber("micro_batch", plan.Dims[DimBinding.MicroBatch]);
                json.WriteNumber("sequence", plan.Dims[DimBinding.Sequence]);
                json.WriteBoolean("checkpointing", plan.Checkpointing);
                foreach (BufferCategory category in categories)
                {
                    json.WriteNumber(Name(category), plan.Bytes(category));
                }

                json.WriteNumber("total", plan.TotalBytes);
                WriteLinears(json, plan);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return Encoding.UTF8.GetString(text.ToArray());
    }

    private static void WriteLinears(Utf8JsonWriter json, MemoryPlan plan)
    {
        json.WriteStartArray("linears");
        foreach (LinearCost cost in LinearCost.Of(plan.Program, plan.Dims))
        {
            json.WriteStartObject();
            json.WriteString("weight", cost.Linear.Weight);
            json.WriteBoolean("fp8", cost.Linear.Fp8);
            json.WriteNumber("layers", cost.Layers);
            json.WriteNumber("fp8_us", Math.Round(cost.Fp8, 1));
            json.WriteNumber("cast_us", Math.Round(cost.Casts, 1));
            json.WriteNumber("bf16_us", Math.Round(cost.Bf16, 1));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static string Name(BufferCategory category) => category.ToString().ToLowerInvariant();
}
