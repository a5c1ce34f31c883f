using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Fp8Lm.ScalingBench;

/// <summary>What to run.</summary>
internal sealed record Options
{
    /// <summary>Columns of an attention head.</summary>
    public const int HeadSize = 32;

    /// <summary>Training steps; mu moves in each.</summary>
    public int Steps { get; init; } = 600;

    /// <summary>Steps in which mu doubles.</summary>
    public int Doubling { get; init; } = 100;

    /// <summary>Steps, spread evenly over the last third, in which everything is measured.</summary>
    public int Measured { get; init; } = 20;

    /// <summary>Numbers of replicas; the largest trains the model, the others see the first of its replicas.</summary>
    public int[] Replicas { get; init; } = [8, 32, 128];

    public int Layers { get; init; } = 6;

    public int Width { get; init; } = 128;

    /// <summary>Tokens of a replica's micro-batch, one sequence.</summary>
    public int Sequence { get; init; } = 128;

    public ulong Seed { get; init; } = 1;

    /// <summary>JSON lines.</summary>
    public string Results { get; init; } = "gradient-scaling.jsonl";

    /// <summary>SVG.</summary>
    public string Chart { get; init; } = "gradient-scaling.svg";

    /// <summary>Only draw <see cref="Results"/> again.</summary>
    public bool Redraw { get; init; }

    private static readonly Dictionary<string, Func<Options, string, Options>> words = new(StringComparer.Ordinal)
    {
        ["--steps"] = (o, v) => o with { Steps = Number(v) },
        ["--doubling"] = (o, v) => o with { Doubling = Number(v) },
        ["--measured"] = (o, v) => o with { Measured = Number(v) },
        ["--replicas"] = (o, v) => o with { Replicas = [.. v.Split(',').Select(Number).Order()] },
        ["--layers"] = (o, v) => o with { Layers = Number(v) },
        ["--width"] = (o, v) => o with { Width = Number(v) },
        ["--sequence"] = (o, v) => o with { Sequence = Number(v) },
        ["--seed"] = (o, v) => o with { Seed = (ulong)Number(v) },
        ["--results"] = (o, v) => o with { Results = v },
        ["--chart"] = (o, v) => o with { Chart = v },
    };

    public static Options Parse(string[] args)
    {
        var options = new Options();
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] == "--redraw")
            {
                options = options with { Redraw = true };
                continue;
            }

            if (!words.TryGetValue(args[i], out Func<Options, string, Options>? set) || i + 1 == args.Length)
            {
                throw new ArgumentException($"'{args[i]}' is no option with a value. There are --redraw and, each with a value: {string.Join(", ", words.Keys)}.");
            }

            options = set(options, args[++i]);
        }

        if (options.Width % HeadSize != 0)
        {
            throw new ArgumentException($"--width {options.Width}: heads have {HeadSize} columns, so the width is a multiple of that.");
        }

        return options.Measured <= Math.Max(1, options.Steps / 3) ? options : throw new ArgumentException(
            $"{options.Measured} of {options.Steps} steps are to be measured in the last third; give at least {3 * options.Measured} --steps.");
    }

    /// <summary>Whether a step, counted from 1, is one of those measured.</summary>
    public bool IsMeasured(int step)
    {
        int interval = Math.Max(1, Steps / 3 / Measured);
        int back = Steps - step;
        return back % interval == 0 && back / interval < Measured;
    }

    private static int Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value > 0
        ? value
        : throw new ArgumentException($"'{text}' is no positive whole number.");
}
