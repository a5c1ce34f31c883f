using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace Fp8Lm.Generators.Model;

/// <summary>
/// A symbolic extent: a sum of monomials over dimension symbols with rational coefficients and integer (also negative) exponents,
/// kept in one canonical form so that equal extents are equal values. <c>Width / Heads</c> is the monomial Width * Heads^-1; whether it is
/// whole is checked for every declared size.
/// </summary>
public sealed class DimExpr : IEquatable<DimExpr>
{
    /// <summary>Sequences in a micro-batch; bound at run time.</summary>
    public static readonly DimExpr MicroBatch = Symbol("MicroBatch");

    /// <summary>Tokens in a sequence; bound at run time.</summary>
    public static readonly DimExpr Sequence = Symbol("Sequence");

    public static readonly DimExpr One = Constant(1);

    public static readonly DimExpr Zero = new([]);

    // Sorted by monomial text; no zero coefficients.
    private readonly Term[] terms;
    private readonly string text;

    private DimExpr(IEnumerable<Term> terms)
    {
        this.terms = terms.GroupBy(t => t.Key, StringComparer.Ordinal)
            .Select(g => g.Skip(1).Aggregate(g.First(), (a, b) => a.WithCoefficient((a.Numerator * b.Denominator) + (b.Numerator * a.Denominator), a.Denominator * b.Denominator)))
            .Where(t => t.Numerator != 0)
            .OrderBy(t => t.Key, StringComparer.Ordinal)
            .ToArray();
        text = Print(name => name);
    }

    public static DimExpr Symbol(string name) => new([new Term(1, 1, [new Power(name, 1)])]);

    public static DimExpr Constant(long value) => new([new Term(value, 1, [])]);

    /// <summary>The value when the expression has no symbols.</summary>
    public long? AsConstant() => terms.Length == 0 ? 0 : terms.Length == 1 && terms[0].Powers.Length == 0 && terms[0].Denominator == 1 ? terms[0].Numerator : null;

    public bool IsOne => AsConstant() == 1;

    /// <summary>Names of all symbols.</summary>
    public IEnumerable<string> Symbols => terms.SelectMany(t => t.Powers).Select(p => p.Name).Distinct(StringComparer.Ordinal);

    public static DimExpr operator +(DimExpr left, DimExpr right) => new(left.terms.Concat(right.terms));

    public static DimExpr operator -(DimExpr left, DimExpr right) => left + (right * Constant(-1));

    public static DimExpr operator *(DimExpr left, DimExpr right) =>
        new(left.terms.SelectMany(a => right.terms.Select(b => Term.Multiply(a, b, 1))));

    /// <summary>Exact quotient; null when the divisor is zero or a sum that does not divide by a monomial rule.</summary>
    public static DimExpr? TryDivide(DimExpr left, DimExpr right)
    {
        if (left.Equals(right) && right.terms.Length > 0)
        {
            return One;
        }

        if (right.terms.Length == 1)
        {
            return new DimExpr(left.terms.Select(a => Term.Multiply(a, right.terms[0], -1)));
        }

        // A multiple of the same sum: (a * s) / s for a monomial a.
        if (left.terms.Length == right.terms.Length && right.terms.Length > 1)
        {
            foreach (Term first in left.terms)
            {
                DimExpr ratio = new([Term.Multiply(first, right.terms[0], -1)]);
                if ((ratio * right).Equals(left))
                {
                    return ratio;
                }
            }
        }

        return null;
    }

    /// <summary>Product of extents; the empty product is 1.</summary>
    public static DimExpr Product(IEnumerable<DimExpr> factors) => factors.Aggregate(One, (a, b) => a * b);

    /// <summary>The value under a binding, or null when it is not a whole positive number; <paramref name="exact"/> then says what came out.</summary>
    public long? Evaluate(Func<string, long> value, out string exact)
    {
        System.Numerics.BigInteger numerator = 0, denominator = 1;
        foreach (Term term in terms)
        {
            System.Numerics.BigInteger n = term.Numerator, d = term.Denominator;
            foreach (Power power in term.Powers)
            {
                System.Numerics.BigInteger factor = System.Numerics.BigInteger.Pow(value(power.Name), Math.Abs(power.Exponent));
                if (power.Exponent > 0)
                {
                    n *= factor;
                }
                else
                {
                    d *= factor;
                }
            }

            numerator = (numerator * d) + (n * denominator);
            denominator *= d;
        }

        bool whole = !denominator.IsZero && (numerator % denominator).IsZero;
        exact = denominator.IsZero ? "a division by zero" : whole ? (numerator / denominator).ToString(CultureInfo.InvariantCulture)
            : ((double)numerator / (double)denominator).ToString("0.###", CultureInfo.InvariantCulture);
        return whole && numerator / denominator > 0 && numerator / denominator <= long.MaxValue ? (long)(numerator / denominator) : null;
    }

    /// <summary>The expression in C-like syntax, valid in C# and CUDA; products come before quotients, so whole results are exact.</summary>
    public string Print(Func<string, string> symbol)
    {
        if (terms.Length == 0)
        {
            return "0";
        }

        StringBuilder builder = new();
        foreach (Term term in terms.OrderByDescending(t => t.Powers.Length))
        {
            long numerator = term.Numerator;
            if (builder.Length > 0)
            {
                builder.Append(numerator < 0 ? " - " : " + ");
                numerator = Math.Abs(numerator);
            }

            List<string> above = [.. term.Powers.Where(p => p.Exponent > 0).SelectMany(p => Enumerable.Repeat(symbol(p.Name), p.Exponent))];
            if (numerator != 1 || above.Count == 0)
            {
                above.Insert(0, numerator.ToString(CultureInfo.InvariantCulture));
            }

            List<string> below = [.. term.Powers.Where(p => p.Exponent < 0).SelectMany(p => Enumerable.Repeat(symbol(p.Name), -p.Exponent))];
            if (term.Denominator != 1)
            {
                below.Insert(0, term.Denominator.ToString(CultureInfo.InvariantCulture));
            }

            builder.Append(string.Join(" * ", above));
            if (below.Count > 0)
            {
                builder.Append(" / ").Append(below.Count == 1 ? below[0] : "(" + string.Join(" * ", below) + ")");
            }
        }

        return builder.ToString();
    }

    /// <summary><see cref="Print"/> in parentheses unless it is a single name or number.</summary>
    public string PrintFactor(Func<string, string> symbol)
    {
        string printed = Print(symbol);
        return printed.IndexOf(' ') < 0 ? printed : "(" + printed + ")";
    }

    public bool Equals(DimExpr? other) => other is not null && text == other.text;

    public override bool Equals(object? obj) => Equals(obj as DimExpr);

    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(text);

    public override string ToString() => text;

    private readonly record struct Power(string Name, int Exponent);

    private sealed class Term
    {
        public Term(long numerator, long denominator, Power[] powers)
        {
            long divisor = Gcd(Math.Abs(numerator), Math.Abs(denominator));
            long sign = denominator < 0 ? -1 : 1;
            Numerator = sign * numerator / Math.Max(1, divisor);
            Denominator = sign * denominator / Math.Max(1, divisor);
            Powers = powers.Where(p => p.Exponent != 0).OrderBy(p => p.Name, StringComparer.Ordinal).ToArray();
            Key = string.Join("*", Powers.Select(p => p.Name + "^" + p.Exponent.ToString(CultureInfo.InvariantCulture)));
        }

        public long Numerator { get; }

        public long Denominator { get; }

        public Power[] Powers { get; }

        public string Key { get; }

        public Term WithCoefficient(long numerator, long denominator) => new(numerator, denominator, Powers);

        public static Term Multiply(Term left, Term right, int sign)
        {
            IEnumerable<Power> powers = left.Powers.Concat(right.Powers.Select(p => new Power(p.Name, sign * p.Exponent)))
                .GroupBy(p => p.Name, StringComparer.Ordinal).Select(g => new Power(g.Key, g.Sum(p => p.Exponent)));
            return sign > 0
                ? new Term(left.Numerator * right.Numerator, left.Denominator * right.Denominator, powers.ToArray())
                : new Term(left.Numerator * right.Denominator, left.Denominator * right.Numerator, powers.ToArray());
        }

        private static long Gcd(long a, long b) => b == 0 ? a : Gcd(b, a % b);
    }
}
