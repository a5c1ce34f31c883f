using Fp8Lm.Generators.Diagnostics;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>What is not part of the language, and what to write instead.</content>
internal sealed partial class ForwardReader
{
    private void UnsupportedStatement(IOperation statement)
    {
        (string what, string advice) = statement switch
        {
            IWhileLoopOperation => ("A while loop", "Use 'foreach' over a Repeat for layers, or 'for' with constant bounds"),
            ITryOperation => ("A try statement", "Operations do not throw; remove it"),
            IUsingOperation or IUsingDeclarationOperation => ("A using statement", "Tensors need no disposal; remove it"),
            ILockOperation => ("A lock statement", "A forward pass has no threads; remove it"),
            IThrowOperation => ("A throw statement", "Check constructor arguments with conditions on constants, and leave shapes to the compiler"),
            IBranchOperation => ("A jump to a label", "Use if, switch or a loop"),
            IReturnOperation => ("A yield statement", "Return the value; several values as a tuple"),
            _ => ("This statement", "Use locals, assignments, if and switch on constants, foreach over a Repeat, and return"),
        };
        Report(DiagnosticDescriptors.Statement, Places.Of(statement), what, advice);
    }

    private ErrorValue Unsupported(IOperation operation)
    {
        if (operation is { Type.TypeKind: TypeKind.Error })
        {
            return Broken();
        }

        (string what, string advice) = operation switch
        {
            IAwaitOperation => ("An await", "A forward pass is not asynchronous; call the method itself"),
            IThrowOperation => ("A throw", "Choose between values with conditions on constants"),
            IArrayCreationOperation or ICollectionExpressionOperation => ("An array", "Use several locals, a tuple, or Repeat for layers"),
            IArrayElementReferenceOperation => ("An array element", "Use several locals or a tuple"),
            IInterpolatedStringOperation => ("A string", "Strings have no meaning in a model; remove it"),
            ITypeOfOperation => ("A type", "Take what differs as a constructor parameter"),
            IObjectCreationOperation creation => ("An object of type '" + creation.Type?.Name + "'", "Use tensors, tuples, and modules held in fields"),
            IConditionalAccessOperation => ("A conditional access", "Test for null with 'is not null' and an if"),
            IPropertyReferenceOperation property => ("Property '" + property.Property.Name + "'", "Use operations of Fp8Lm.Ops and members of modules"),
            IFieldReferenceOperation field => ("Field '" + field.Field.Name + "'", "Use members of modules"),
            ITranslatedQueryOperation => ("A query", "Use 'foreach' over a Repeat"),
            IPatternOperation => ("This pattern", "Use constants, 'null', relational patterns and '_'"),
            IWithOperation => ("A with expression", "Modules do not change; create another one in a field"),
            _ => ("This expression", "Use operations of Fp8Lm.Ops, operators, constants, and methods made of them"),
        };
        return Report(DiagnosticDescriptors.Expression, Places.Of(operation), what, advice);
    }
}
