using System;

namespace Fp8Lm;

/// <summary>Marks a static readonly <see cref="Size"/> field of a model as one of its sizes.</summary>
[AttributeUsage(AttributeTargets.Field)]
public sealed class ModelSizeAttribute : Attribute;
