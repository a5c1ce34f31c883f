using System;
using System.Collections.Generic;
using System.CommandLine;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using Fp8Lm.Execution;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>plan</c>: memory by category. All sizes and recipes unless the user names some.</summary>
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
            }
        }

        return Fp8App.Success;
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
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return Encoding.UTF8.GetString(text.ToArray());
    }

    private static string Name(BufferCategory category) => category.ToString().ToLowerInvariant();
}
