using System;

namespace Fp8Lm;

/// <summary>
/// Marks a class as a reusable part of a model: constructor parameters (dimensions, numbers, flags, enums, weights, modules), weights and
/// modules as fields, and methods over tensors.
/// </summary>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
public sealed class Fp8ModuleAttribute : Attribute;
