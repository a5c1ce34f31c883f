using System;
using System.CommandLine;
using System.IO;
using System.Linq;
using Fp8Lm.Execution;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>kernels</c>: one <c>.cu</c> file per emitted kernel and the printed IR, a folder per recipe.</summary>
internal sealed class KernelsCommand(ModelDefinition definition, AppOptions options, IAnsiConsole console)
{
    public int Run(ParseResult parsed)
    {
        string root = parsed.GetValue(options.Out) ?? "kernels";
        string? recipe = parsed.GetResult(options.Recipe) is { Implicit: false } ? parsed.GetValue(options.Recipe) : null;
        foreach (ModelProgram program in recipe is null ? [.. definition.Recipes.Select(definition.Program)] : (ModelProgram[])[ModelChoice.Program(definition, recipe)])
        {
            string folder = Path.Combine(root, ModelChoice.FolderName(definition.Name, program.Recipe));
            Directory.CreateDirectory(folder);
            foreach (KernelInfo kernel in program.Kernels)
            {
                File.WriteAllText(Path.Combine(folder, kernel.Name + ".cu"), kernel.CudaSource);
            }

            File.WriteAllText(Path.Combine(folder, "ir.txt"), program.PrintedIr);
            console.WriteLine(FormattableString.Invariant($"{folder}: {program.Kernels.Count} kernels and ir.txt"));
        }

        return Fp8App.Success;
    }
}
