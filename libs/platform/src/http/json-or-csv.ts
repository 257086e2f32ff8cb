import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, getSchemaPath } from '@nestjs/swagger';
import { EnumField } from '../fields/fields.js';
import { CSV } from './csv-answer.js';

/** Documents a route that answers the type as JSON, or its rows as CSV. */
export const JsonOrCsv = (type: Type): MethodDecorator =>
  applyDecorators(
    ApiExtraModels(type),
    ApiOkResponse({
      description: 'As JSON; by `Accept: text/csv` or `format=csv` as a table, a list then as a whole.',
      content: { 'application/json': { schema: { $ref: getSchemaPath(type) } }, [CSV]: { schema: { type: 'string' } } },
    }),
  );

/** The query field `format`, for `wantsCsv`. */
export const CsvChoice = (): PropertyDecorator =>
  EnumField(['json', 'csv'], { optional: true, description: 'Before what `Accept` asks for.' });
