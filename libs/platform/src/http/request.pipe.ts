import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { isFieldsClass } from '../fields/field-rules.js';
import { readFields } from '../fields/read-fields.js';
import { withoutPosition } from './context.decorator.js';

const places = { body: 'body', query: 'query', param: 'path' } as const;

/** Reads bodies, queries and paths as the DTO class that their parameter names; a parameter of another type passes. */
@Injectable()
export class RequestPipe implements PipeTransform {
  transform(value: unknown, { type, metatype, data }: ArgumentMetadata): unknown {
    if (type === 'custom' || data !== undefined || !isFieldsClass(metatype)) return value;
    // A POST without a body is an empty object, and so is a DELETE.
    const given = type === 'query' ? withoutPosition(value) : value === undefined ? {} : value;
    return readFields(metatype, given, places[type]);
  }
}
