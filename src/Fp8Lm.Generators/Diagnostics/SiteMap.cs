using System.Collections.Generic;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Text;

namespace Fp8Lm.Generators.Diagnostics;

/// <summary>
/// Where the sites of a model are. A site is an ordinal given out in reading order, so that a model's values do not change when text
/// moves; only the analyzer, which runs on one state of the text, turns ordinals back into places.
/// </summary>
internal sealed class SiteMap
{
    private readonly List<Location> locations = [];
    private readonly Dictionary<(SyntaxTree Tree, TextSpan Span), int> sites = [];

    /// <summary>The site of a place; equal places have one site.</summary>
    public int Add(Location location)
    {
        if (location.SourceTree is not { } tree)
        {
            return -1;
        }

        if (!sites.TryGetValue((tree, location.SourceSpan), out int site))
        {
            site = locations.Count;
            locations.Add(location);
            sites.Add((tree, location.SourceSpan), site);
        }

        return site;
    }

    /// <summary>The place of a site; null for -1, which stands for none.</summary>
    public Location? Find(int site) => site >= 0 && site < locations.Count ? locations[site] : null;
}
