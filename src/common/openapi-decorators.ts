import type * as Swagger from '@nestjs/swagger';

type DecoratorName = Extract<keyof typeof Swagger, `Api${string}`>;
type Decorate = (...place: unknown[]) => void;

const kept: ((swagger: typeof Swagger) => void)[] = [];

/** @nestjs/swagger is 540 files: a tenth of a start, for a document that most processes never show. */
function later<Name extends DecoratorName>(name: Name): (typeof Swagger)[Name] {
  const decorator = (...args: unknown[]): Decorate => {
    return (...place) => {
      kept.push((swagger) => (swagger[name] as (...args: unknown[]) => Decorate)(...args)(...place));
    };
  };
  return decorator;
}

/** Applies the decorators of every class that has been loaded, in the order in which they stand there, each once. */
export function applyOpenApiDecorators(swagger: typeof Swagger): void {
  for (const apply of kept.splice(0)) apply(swagger);
}

export const ApiAcceptedResponse = later('ApiAcceptedResponse');
export const ApiBasicAuth = later('ApiBasicAuth');
export const ApiBearerAuth = later('ApiBearerAuth');
export const ApiBody = later('ApiBody');
export const ApiConsumes = later('ApiConsumes');
export const ApiCreatedResponse = later('ApiCreatedResponse');
export const ApiExcludeController = later('ApiExcludeController');
export const ApiExcludeEndpoint = later('ApiExcludeEndpoint');
export const ApiExtension = later('ApiExtension');
export const ApiNoContentResponse = later('ApiNoContentResponse');
export const ApiOkResponse = later('ApiOkResponse');
export const ApiOperation = later('ApiOperation');
export const ApiParam = later('ApiParam');
export const ApiProperty = later('ApiProperty');
export const ApiQuery = later('ApiQuery');
export const ApiResponse = later('ApiResponse');
export const ApiTags = later('ApiTags');
