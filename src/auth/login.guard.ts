import { Injectable, type ExecutionContext } from '@nestjs/common';
import { AuthGuard, PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-local';
import { BodyPipe } from '../common/body.pipe.js';
import { clientOf } from '../common/principal.js';
import { LoginBody } from './auth.dto.js';
import { LoginService, type Authenticated } from './login.service.js';

/** passport-local: takes e-mail and password from the body to `LoginService`. */
@Injectable()
export class LocalStrategy extends PassportStrategy(Strategy) {
  constructor(private readonly login: LoginService) {
    super({ usernameField: 'email', passwordField: 'password', session: false, passReqToCallback: true });
  }

  validate(request: FastifyRequest, email: string, password: string): Promise<Authenticated> {
    const { device_token: deviceToken } = request.body as LoginBody;
    return this.login.authenticate({ email, password, deviceToken }, clientOf(request));
  }
}

/** Runs passport-local before the login route. Guards run before pipes, so the body is held to its DTO here. */
@Injectable()
export class LoginGuard extends AuthGuard('local') {
  private readonly bodyPipe = new BodyPipe();

  constructor(private readonly login: LoginService) {
    super();
  }

  override async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const {
      email,
      password,
      device_token: deviceToken,
    } = (await this.bodyPipe.transform(request.body, {
      type: 'body',
      metatype: LoginBody,
    })) as LoginBody;
    // passport-local takes an empty string for a missing one, looks for it in the query instead and answers 400. Here it
    // is a wrong password like any other.
    if (email === '' || password === '') {
      await this.login.authenticate({ email, password, deviceToken }, clientOf(request));
    }
    return super.canActivate(context) as Promise<boolean>;
  }
}
