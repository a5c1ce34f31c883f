using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The one token of a construct that a message should underline.</summary>
internal static class Places
{
    public static Location Of(IOperation operation) => Of(operation.Syntax);

    public static Location Of(SyntaxNode node) => node switch
    {
        InvocationExpressionSyntax call => Of(call.Expression),
        MemberAccessExpressionSyntax access => Of(access.Name),
        ExpressionElementSyntax element => Of(element.Expression),
        ElementAccessExpressionSyntax access => access.ArgumentList.GetLocation(),
        ConditionalAccessExpressionSyntax access => access.OperatorToken.GetLocation(),
        GenericNameSyntax name => name.Identifier.GetLocation(),
        BinaryExpressionSyntax binary => binary.OperatorToken.GetLocation(),
        AssignmentExpressionSyntax assignment when !assignment.IsKind(SyntaxKind.SimpleAssignmentExpression) => assignment.OperatorToken.GetLocation(),
        AssignmentExpressionSyntax assignment => Of(assignment.Left),
        PrefixUnaryExpressionSyntax unary => unary.OperatorToken.GetLocation(),
        PostfixUnaryExpressionSyntax unary => unary.OperatorToken.GetLocation(),
        BaseObjectCreationExpressionSyntax creation => creation.NewKeyword.GetLocation(),
        AwaitExpressionSyntax wait => wait.AwaitKeyword.GetLocation(),
        ThrowExpressionSyntax thrown => thrown.ThrowKeyword.GetLocation(),
        LambdaExpressionSyntax lambda => lambda.ArrowToken.GetLocation(),
        AnonymousMethodExpressionSyntax method => method.DelegateKeyword.GetLocation(),
        QueryExpressionSyntax query => query.FromClause.FromKeyword.GetLocation(),
        CommonForEachStatementSyntax loop => loop.ForEachKeyword.GetLocation(),
        ForStatementSyntax loop => loop.ForKeyword.GetLocation(),
        YieldStatementSyntax yielded => yielded.YieldKeyword.GetLocation(),
        BlockSyntax block => block.OpenBraceToken.GetLocation(),
        StatementSyntax statement and not ExpressionStatementSyntax => statement.GetFirstToken().GetLocation(),
        VariableDeclaratorSyntax variable => variable.Identifier.GetLocation(),
        MethodDeclarationSyntax method => method.Identifier.GetLocation(),
        BaseTypeDeclarationSyntax type => type.Identifier.GetLocation(),
        PropertyDeclarationSyntax property => property.Identifier.GetLocation(),
        ParameterSyntax parameter => parameter.Identifier.GetLocation(),
        ArgumentSyntax argument => Of(argument.Expression),
        _ => node.GetLocation(),
    };

    /// <summary>The whole expression, where no single token stands for it.</summary>
    public static Location Whole(IOperation operation) => operation.Syntax.GetLocation();

    /// <summary>The name in a symbol's declaration.</summary>
    public static Location Of(ISymbol symbol, Location fallback)
    {
        foreach (Location location in symbol.Locations)
        {
            if (location.IsInSource)
            {
                return location;
            }
        }

        return fallback;
    }
}
