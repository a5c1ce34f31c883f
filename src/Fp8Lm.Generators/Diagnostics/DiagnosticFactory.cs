using System.Linq;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <summary>Turns the plain errors of front end and compiler into diagnostics with places.</summary>
internal static class DiagnosticFactory
{
    /// <param name="error">What was found.</param>
    /// <param name="sites">Where sites are.</param>
    /// <param name="fallback">For errors without a place of their own: the model's name.</param>
    public static Diagnostic Create(CompileError error, SiteMap sites, Location fallback)
    {
        DiagnosticDescriptor descriptor = DiagnosticDescriptors.Find(error.Code);
        object[] arguments = descriptor.Id == error.Code
            ? [.. error.Arguments]
            : ["reporting", "unknown code " + error.Code + " (" + string.Join(", ", error.Arguments.AsEnumerable()) + ")"];
        return Diagnostic.Create(descriptor, sites.Find(error.Site) ?? fallback, arguments);
    }
}
